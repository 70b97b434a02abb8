"""ROI values: the mean of each map in each parcel, computed once for all tasks.

cache        the values of a pool: what callers use
keys         what the cache must hold, and under which keys, from the files as they are
build        making what is missing: blocks from maps, then one matrix per parcellation
extraction   the values of some participants in many parcellations, from one reading of the maps
blocks       block files: values of some participants, until they are packed
store        packed values: one matrix per parcellation
contents     whether packed values are those of the files as they are now
maintenance  what the cache holds, what is damaged, what may be removed
"""
