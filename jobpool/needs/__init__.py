"""What tasks need: learned from finished and failed attempts, by the values of their axes.

learning    from new attempts to the model state; priors and initial estimates
estimates   time and memory of each task, and which tasks suit a worker
samples     what an attempt says of its task
features    the columns of the regression: axis values and attributes as numbers
calibration how far off estimates are, found by leaving attempts out
amounts     the distribution of time or memory, and what a bound leaves of it
work        the sum of the times of many tasks
regression  the regression, with censored observations: tasks known to need more than some amount
model_file  the file `needs.npz`

Called by workers, which learn from attempts and match tasks, and by `plan`, `why` and reports.
"""
