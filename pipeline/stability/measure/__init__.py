"""What is measured or stated of any bijection, trained or not, conditional or not; analyses and studies call it."""
