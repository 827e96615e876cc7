"""Paper B's densities of a checkerboard (section 4.1.1, appendix C)."""
