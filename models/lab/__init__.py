"""Models of the papers' experiments and memory-saving gradients; no training of a restoration depends on them."""
