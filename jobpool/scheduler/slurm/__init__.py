"""SLURM: what the job that we run in has, and how jobs are submitted.

Programs are run as lists, with a timeout, a few times in a worker's life at most.
"""
