"""One file per data set: how its folder is laid out, and its demo source."""
