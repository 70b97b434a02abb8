"""Run a grid of tasks from one folder on a cluster's shared disk, with any number of workers."""

__version__ = "0.1.0"
