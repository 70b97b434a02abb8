"""What a user does to a pool: create, extend, change tasks, cancel jobs.

    create       a new pool
    extend       more tasks for a pool
    transitions  retry, rerun, hold, release: tasks change their state
    cancel       end the jobs of a pool, and requeue their tasks

Called by the command line and the Python interface.
"""
