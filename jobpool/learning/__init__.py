"""Machine learning: targets, splits, pipelines, the search for parameters, and scores.

    settings        the ``evaluate`` section of an experiment as records
    study           participants, targets, pipelines and members of an experiment, read from it
    checks          what is checked once, before there is a pool
    participants    columns of the participants table, and which participants a task can use
    targets         columns of the table as numbers to learn
    splits          outer and inner folds of all participants, the same for all tasks
    folds           what one fit learns from and predicts, taken from the splits
    pipelines       what a pipeline is, and elastic net, support vectors and LightGBM
    search          candidates scored on the inner splits of one fold
    methods         random search, successive halving, tree-structured Parzen estimator
    scores          metrics that candidates are compared by, and those that are reported
    fits            the search of one member on one training part, and what the best predicts
    probability     the probability of the positive class
    strategies      how the members of an ensemble become one prediction
    checkpoint      finished folds and scores, kept for the next attempt
    parallel        work spread over the cores of a job

``runners/evaluate`` calls this room; ``collect`` uses `parallel` alone. It knows no pool.
"""
