"""Processes: children, /proc, signals, priorities, locks, waiting and reports of progress."""
