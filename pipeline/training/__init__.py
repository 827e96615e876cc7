"""Training: objectives, deterministic batches, one plain loop, checkpoints, and its launch through Ray."""
