"""What ``jobpool doctor`` finds and repairs: the pool's files held against one another.

table.py         records of the state table, every checksum checked
evidence.py      what the files of workers say about each task
shards.py        one state file: what is wrong with it, and its repair
consistency.py   records against results and attempts
surroundings.py  everything else: lock, experiment, leftovers
doctor.py        all of these, in the order in which repairs rest on each other
"""
