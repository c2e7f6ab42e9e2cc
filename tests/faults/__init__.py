"""What becomes of a run that something breaks: each fault at each phase, tried on real runs."""
