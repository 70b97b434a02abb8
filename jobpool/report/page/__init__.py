"""The report: one HTML file that holds its data, its drawing library and its scripts."""
