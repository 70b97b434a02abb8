"""Files that stay true when a process is killed, and whose damage is noticed.

files         replace a file whole, create it once, checked lines, the file server's clock
inside        files of a pool: opened without following a link below it
locks         the kinds of lock, and which of them holds on a file system
coordination  elections (one process for all, once a period), leases (which process does what)
validation    what a record from the shared disk must look like
npz           archives of arrays: opened without pickles, and what a damaged one raises
tables        .csv, .tsv and .parquet: one reader with one set of rules

Called by every room. Nothing here knows what the files mean.
"""
