"""The scheduler that starts the workers: SLURM, or none."""
