"""Paper B's regression onto a line (section 4.2, appendix F)."""
