"""What a study of many parcellations says: pure functions from one plain table to numbers.

Nothing here knows a pool: a table of results from elsewhere is analysed in the same way. Every
function sorts what it is given, so that the order of rows changes no bit of what it returns.
"""
