"""Tasks and workers at run time.

local    workers on this machine, without a scheduler
"""
