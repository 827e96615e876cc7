"""Restoring pictures with a trained flow."""
