"""The Python interface: what ``import jobpool`` gives to a notebook or a script.

pool    `init` and `open`, and the `Pool` that they return: what runs and changes it
view    what can be asked of a pool, and its look in a notebook
tables  results, attempts, failures and tasks as tables and records
given   what a caller passes: selections, experiments as a dict, lengths of time

Called by nothing in this package but `jobpool` itself, which names what is public. Everything here
raises jobpool's own errors and prints nothing unless it is asked to.
"""
