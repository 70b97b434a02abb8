"""Files that stay true when a process is killed, and are told when a byte of them is damaged.

npz     archives of arrays: opened without pickles, and whatever a damaged one raises
tables  .csv, .tsv and .parquet: one reader with one set of rules
"""
