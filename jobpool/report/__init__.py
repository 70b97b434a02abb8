"""The HTML page of a pool or of a table of results.

    making            reads a pool or a table, and puts the sections in their order: start here
    progress          states of tasks by axis, cells not done
    attention         parked tasks, lost results, failures, incomplete sets
    costs             core-hours by outcome
    timeline          workers and attempts over time
    results           the table of all results, averages by axis
    study             sections of a study: coverage, scores, the best, trade-offs
    study_ranks       mean rank against number of parcels
    study_strategies  ensembles against single parcellations
    parts             tables, figures and sections; helpers of traces and axes
    writing           the file: template, scripts, packed data
    assets/           the page's template, style and scripts

Called by ``cli/report.py`` and `jobpool.api`, through `making` alone.
"""
