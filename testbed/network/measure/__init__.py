"""Every link measured and held against its scenario."""
