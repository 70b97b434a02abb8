"""Append-only files: one writer each, one reader for all.

jsonl     lines with a checksum each, and where the files of each worker lie
attempts  how each run of a task ended, what that says about its task, and which errors are alike
results   what each run of a task gave
workers   what workers write about themselves while they live

Called by all rooms that write or read what happened in a pool. It knows the pool's folder, never
the table: the pool says which result counts.
"""
