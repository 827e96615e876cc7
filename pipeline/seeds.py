"""Random streams that are named, so that what is drawn depends on the name alone."""

from __future__ import annotations

import hashlib

import torch


def seed_of(*name: str | int) -> int:
    """Return a 63-bit seed for a name such as ``("latent", 10, "astronaut", 3)``; equal names, equal seeds."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in name).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*name: str | int) -> torch.Generator:
    """Return a CPU generator seeded by ``name``."""
    return torch.Generator().manual_seed(seed_of(*name))
