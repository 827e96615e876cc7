"""Paper A's toy experiment in two dimensions."""
