"""Trace files made: drawn, or from what others recorded; and what one looks like."""
