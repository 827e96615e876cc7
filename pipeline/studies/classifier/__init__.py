"""Paper B's invertible classifiers (section 4.2, appendix G)."""
