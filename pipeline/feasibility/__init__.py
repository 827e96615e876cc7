"""Trials: whether the models of a profile run on this machine. No stage reads this; no training depends on it."""
