"""A worker's tasks: which one is next, and one run of it from the claim to the recorded end.

    claiming      ends one task and claims the next in one transaction
    matching      which tasks suit the worker now: by what it can give, and by inputs at hand
    attempt       one run of a task, and the lines that say how it ended
    supervisor    runs a task in a child process, and says how it ended; signals and the deadline
    child         the process that runs tasks
    processes     trees of processes: guarded, measured, ended
    health        when a worker leaves, or a node is left, because tasks fail there
    local         workers on this machine, without a scheduler

`jobpool.worker` joins these. The command line and the Python interface start local workers;
commands that show or plan ask for the nodes that workers leave.
"""
