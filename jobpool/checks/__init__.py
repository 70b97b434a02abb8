"""What ``jobpool doctor`` finds and repairs: the pool's files held against one another.

    doctor        all checks and repairs, in the order in which they rest on each other
    shards        one state file: what is wrong with it, and its repair
    consistency   records against results and attempts, whole tasks against their parts
    rebuild       what the files of workers say about each task, and the records that this makes
    housekeeping  everything else in the folder: grid, experiment, leftovers, damaged lines
    findings      what is reported
    probes/       the file system: names, locks, times, space; from this host and from two nodes

Only the command line calls in.
"""
