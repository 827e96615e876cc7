"""Conditional normalizing flows as plain torch modules; imports torch and nothing else of ours."""
