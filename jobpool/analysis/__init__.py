"""What a study of many parcellations says: pure functions from one plain table to numbers.

    study_table   one row per parcellation, pipeline and target, checked when it is made
    coverage      which cells have a result, and which part can be ranked
    precision     which scores are equal
    ranks         ranks within each pipeline and target, and their means
    scaling       mean rank against size: the power law and the regression
    regions       the sizes in which the law is fitted: chosen, or named
    comparison    strategies over several parcellations against single ones
    whole         all of that as one record
    style         how figures look, and their pieces
    figures       static figures for print

Nothing here knows a pool: a table of results from elsewhere is analysed in the same way. Every
function sorts what it is given, so that the order of rows changes no bit of what it returns; but
for the published region, which takes parcellations of one size in the order of the table.
``report`` and ``cli/report`` call this room.
"""
