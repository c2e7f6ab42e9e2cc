"""Bad inputs: kept ones, which were found or made by hand, and new ones, which Hypothesis grows.

Whatever a user hands in is taken, or refused in one sentence, in bounded time and memory.
"""
