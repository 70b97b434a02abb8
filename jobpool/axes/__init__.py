"""Axis values from an experiment file: lists, globs, ranges, columns of a table."""

from jobpool.axes.reading import RESERVED, read_axes

__all__ = ["RESERVED", "read_axes"]
