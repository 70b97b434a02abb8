"""Programs that measure jobpool and print their figures; README.md has the figures measured."""
