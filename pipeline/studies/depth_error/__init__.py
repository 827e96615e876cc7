"""Paper B's example of section 2: how the reconstruction error grows with depth."""
