"""ROI values: the mean of each map in each parcel, computed once for all tasks."""
