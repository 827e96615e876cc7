"""What flows are made of: the contract of a bijection, elementwise transforms, layers, and how they are stacked."""
