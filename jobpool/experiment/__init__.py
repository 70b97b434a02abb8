"""The experiment file: YAML to frozen records."""
