"""The reconstruction error of a stack of couplings by depth, each layer's output rounded to a precision."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from models.flow.bijection import Bijection, Chain
from models.flow.transforms import Additive, RangedAffine, Transform
from models.lab.points import POINT_CHANNELS, depth_flow
from pipeline.stability.measure.spectrum import singular_values

PRECISIONS: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def transforms(scale: float) -> dict[str, Transform]:
    """Return section 2's two couplings: affine with a fixed scale, and additive."""
    return {"affine": RangedAffine(scale, scale), "additive": Additive()}


@torch.no_grad()
def errors_by_depth(layers: Sequence[Bijection], x: Tensor) -> list[float | None]:
    """Return |x - F^-1(F(x))| (l2) for F the first 1, 2, ... of ``layers``; None where what came back is not finite.

    ``x``: one point ``(1, C, 1, 1)``, whose dtype is the precision: every layer's output is rounded to it, there and
    back. Inside of a layer numbers are float32 at least, as everywhere (models/flow/transforms/transform.py), so half
    precisions are those of what is stored between layers. One way there serves all depths.
    """
    found: list[float | None] = []
    value = x
    for depth, layer in enumerate(layers, 1):
        value = layer(value)[0].to(x.dtype)
        back = value
        for undone in reversed(layers[:depth]):
            back = undone.inverse(back)[0].to(x.dtype)
        error = float((back.double() - x.double()).norm())
        found.append(error if math.isfinite(error) else None)
    return found


def errors(transform: Transform, depth: int, shift: float, precision: str) -> list[float | None]:
    """Return the errors at (1, 1) of section 2's flow with 1 to ``depth`` couplings."""
    layers = list(depth_flow(transform, depth, shift).layers)
    return errors_by_depth(layers, torch.ones(1, POINT_CHANNELS, 1, 1, dtype=PRECISIONS[precision]))  # type: ignore[arg-type]


def spectra(transform: Transform, depths: Sequence[int], shift: float) -> list[tuple[float, float]]:
    """Return (largest, smallest) singular value of the Jacobian at (1, 1), float64, for each of ``depths``."""
    whole = depth_flow(transform, max(depths), shift)
    x = torch.ones(1, POINT_CHANNELS, 1, 1, dtype=torch.float64)
    found = []
    for depth in depths:
        values = singular_values(Chain(list(whole.layers)[:depth]), x)  # type: ignore[arg-type]
        if values is None:
            raise ValueError(f"the Jacobian at depth {depth} is not finite")
        found.append((float(values[0]), float(values[-1])))
    return found
