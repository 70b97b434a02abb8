"""What tasks need: learned from finished and failed attempts, by the values of their axes.

learning    from new attempts to the model state; priors and initial estimates
estimates   time and memory of each task, and which tasks suit a worker
samples     what an attempt says of its task
features    the columns of the regression: axis values and attributes as numbers
regression  the regression, with censored observations: tasks known to need more than some amount
model_file  the file `needs.npz`

Called by workers, which learn from attempts and match tasks, and by `plan`, `why` and reports.
"""
