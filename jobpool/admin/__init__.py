"""What a person does to a pool and its workers.

    cancel    end the jobs of a pool, and return their tasks

Called by the command line and the Python interface.
"""
