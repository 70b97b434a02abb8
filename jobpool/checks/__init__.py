"""What ``jobpool doctor`` finds and repairs: the pool's files held against one another.

table.py         records of the state table, every checksum checked
evidence.py      what the files of workers say about each task
remaking.py      records made anew from that
shards.py        one state file: what is wrong with it, and its repair
consistency.py   records against results and attempts
families.py      whole tasks against their parts
surroundings.py  everything else: grid, experiment, leftovers
probes*.py       the file system: names, locks, times, room; from this host and from two nodes
doctor.py        all of these, in the order in which repairs rest on each other
"""
