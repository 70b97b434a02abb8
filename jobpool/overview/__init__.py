"""What stands where: how a pool is looked at while it is worked off.

    status_text    how a pool stands, as text and as JSON
    waiting        wait until nothing is left to run

Called by the command line and the Python interface; nothing here changes a pool.
"""
