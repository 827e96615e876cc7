"""Bi-Lipschitz bounds (paper B, section 3, Table 3, Lemmas 5 and 6): of nets, of transforms, of layers, of networks."""
