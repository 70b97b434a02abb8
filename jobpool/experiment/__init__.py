"""The experiment file: YAML to frozen records, every problem found at once.

config     the whole file: passes, settings of workers, first estimates
axes       the axes, and the ways to write their values
reader     takes keys out of a mapping, and collects every problem on the way
ensembles  what an axis value that is an ensemble is made of

Called to make or extend a pool, and by runners, which read their own section with the reader and
add forms of axis values.
"""
