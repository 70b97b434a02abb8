"""Fits of single members, made once for all tasks that need them.

cache        the fits of a pool, by bucket and key: what callers use
file         the file of a bucket: records, read without a lock, appended under it
maintenance  what the cache holds, what is damaged, what may be removed
"""
