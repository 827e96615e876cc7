"""Paper B's densities of small pictures: Glow and a Residual Flow, and where their inverses fail."""
