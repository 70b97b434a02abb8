"""The Python door: what ``import jobpool`` gives to a notebook or a script.

    opening  `init` and `open`
    pool     the `Pool` that they return: what works it off and changes it
    view     what can be asked of a pool
    tables   results, attempts, failures and tasks as tables and records
    given    selections and experiments as Python values
    html     how a pool looks in a notebook

Called by nothing in this package but `jobpool` itself, which names what is public. Everything here
raises jobpool's own errors and prints nothing unless it is asked to.
"""
