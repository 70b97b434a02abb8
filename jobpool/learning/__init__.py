"""Machine learning: targets, splits, pipelines, the search for parameters, and scores."""
