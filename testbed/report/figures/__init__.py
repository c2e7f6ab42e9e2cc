"""A run's figures: one specification for each, drawn by the page and written as files for a paper."""
