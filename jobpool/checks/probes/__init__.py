"""Probes of a file system by two processes, perhaps on two nodes.

run      start both sides, and wait for their reports
probes   all that is probed
talk     how the two sides meet
verdict  what the reports mean for a pool, and the lock that it should have
"""
