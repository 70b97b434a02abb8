"""What tasks need: learned from finished and failed attempts, by the values of their axes."""
