"""Axis values from an experiment file: lists, globs, ranges, columns of a table."""
