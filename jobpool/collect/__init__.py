"""Results, attempts and predictions of a pool as tables.

    collect        from result lines to one row per task or part
    accepted       which results count: claims, selection, parts
    row_columns    the columns of rows, each of one type
    frames         tables as data frames and as CSV or Parquet files, with what they came from
    attempts       one row per attempt
    predictions    one row per participant, written as they are read

The command line, the Python interface and the report call in; `accepted.known_tasks` is also used
by `overview`. Nothing here changes a pool.
"""
