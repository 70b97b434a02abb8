"""The runner ``evaluate``: a parcellation, a pipeline, a target, on grouped folds.

runner       runs a task
task_grid    which tasks there are, and what is known of each axis value
value_forms  forms of axis values: grown at random, and ensembles
ensembles    the folds of a task whose fits are kept: an ensemble, or one member
members      the fits of members, from the fit cache or made here
results      results as JSON: joined from parts, and flattened into rows
"""
