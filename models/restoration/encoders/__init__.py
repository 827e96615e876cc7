"""Encoders g(y): degraded image to the features that every level of a flow is conditioned on."""
