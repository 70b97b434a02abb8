"""How a pool stands and what happened in it, read while it is worked on.

    counts      how many tasks stand where
    status      counts by axis, workers, rate and time left; as text and as JSON
    waiting     wait until nothing is left to run
    failures    failed attempts, grouped by what went wrong
    history     workers, attempts and results in the order of time
    spending    what each attempt cost, and what became of it

The command line, the Python interface and the report call in; nothing here changes a pool.
"""
