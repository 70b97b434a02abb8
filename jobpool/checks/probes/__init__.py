"""Probes of a file system by two processes, perhaps on two nodes."""
