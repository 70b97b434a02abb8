"""The tasks of a pool and the state of each.

parts   whole tasks and the parts that they can be split into
"""
