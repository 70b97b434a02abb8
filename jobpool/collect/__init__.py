"""Results, attempts and predictions of a pool as tables."""
