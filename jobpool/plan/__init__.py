"""What to submit next, and what a task waits for: read from the pool, changing nothing.

    backlog       the tasks that wait, what each needs at least, and how much work it is
    sizes         what fits a size of jobs, and which larger sizes to propose
    arrays        which size each task goes to, how many jobs, and when all is done
    submission    asks the scheduler, and submits
    plan_text     what ``jobpool plan`` shows
    why           what one task waits for

The command line, the Python interface, the report and `overview.waiting` call in.
"""
