"""The runner ``evaluate``: a parcellation, a pipeline, a target, on grouped folds."""
