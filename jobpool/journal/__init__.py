"""Append-only files: one writer each, one reader for all.

jsonl   lines of JSON with a checksum each
"""
