"""The small demonstration models that come with the testbed."""
