"""Stand-alone models of the papers' experiments; no training of a restoration depends on them."""
