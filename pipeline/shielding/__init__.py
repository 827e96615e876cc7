"""A shield around a trained flow: calibrated on photographs, without training (docs/shield.md)."""
