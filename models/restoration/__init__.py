"""The conditional flows that restore pictures: their encoders, super-resolution, low light, and published sizes."""
