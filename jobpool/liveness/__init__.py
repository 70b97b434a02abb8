"""Which workers live, and what becomes of the claims of the dead.

    heartbeat     how a worker shows that it lives
    judge         alive, dead or unknown: what is seen of a worker, and what follows from it
    postmortem    how the attempt of a dead worker ended, and what that says about its task
    reaper        finds dead claims, asks the scheduler, and takes the tasks back
    waits         who holds the lock that a process waits for

Workers send heartbeats and reap; commands that show the state of a pool only judge.
"""
