"""Where pictures come from: data sets, their layouts and checks, and how they get into shards."""
