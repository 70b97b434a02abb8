"""The tasks of a pool and the state of each.

settings     `pool.json`: what kind of pool a folder is, and the settings of its workers
grid         `tasks.npz`: the axes, the tasks as one code per axis, and their order on disk
parts        whole tasks and the parts that they can be split into
task_index   from an id, or the beginning of one, to the task's position
selection    conditions such as `pipeline=svm`, and the tasks that satisfy them
columns      the names of columns that jobpool itself uses, and axes may not
records      what is known of one task, in 32 bytes; bounds, and the limits of workers
shards       `state/NN`: index and records of some thousand tasks, changed in transactions
arrays       the state table as arrays, read without a lock, to count and to look into

Only `jobpool.pool` opens shards, and the doctor in `jobpool.checks` repairs them; all others ask a
pool. The rest is for everybody above.
"""
