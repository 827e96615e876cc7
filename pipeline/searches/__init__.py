"""Searches over settings: what is tried, what came out, and which of it is the best."""
