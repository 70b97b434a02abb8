"""Fits of single members, made once for all tasks that need them."""
