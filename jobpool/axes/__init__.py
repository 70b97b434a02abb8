"""Axis values from an experiment file: lists, globs, ranges, columns of a table."""

from jobpool.axes.reading import read_axes

__all__ = ["read_axes"]
