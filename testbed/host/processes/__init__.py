"""Child processes, signals, priorities and locks."""
