"""What was computed once for all tasks of a pool, under keys made of what it was computed from.

work_sharing  processes divide work: each takes what is free, and waits for the rest
roi/          ROI values: the mean of each map in each parcel
fits/         fits of single members, for all ensembles that need them

Called by the runner `evaluate`, and by the command `jobpool cache`.
"""
