"""A drawing of the maps that couplings apply to one value (paper A, Fig. 5), and of ours beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from models.flow.transforms import TRANSFORMS
from pipeline.reporting.style import styled, subplots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RAW = (-3.0, -1.0, 1.0, 3.0)  # one line each: how far a parameter is from the identity's
_REACH = 1.2  # of x, in both directions
# transform, its options, which raw parameters take the values above (the others are 0), and what these do
_PANELS = (
    ("affine", {"eps": 1e-4}, (1,), "affine: slopes in (1e-4, 1.0001)"),
    ("rational_quadratic_spline", {"bound": 0.5, "eps": 1e-3}, (0, 2), "RQ-spline: slope 1 outside"),
    ("certified_spline", {"bound": 0.5, "lipschitz": 4.0, "shift": 0.3}, (0, 2), "certified: slopes in [1/4, 4]"),
)


@styled
def curves() -> Figure:
    """Plot x -> c(x) of three transforms for a few parameters; grey: the splines' box."""
    figure, axes = subplots(1, len(_PANELS), (3.0 * len(_PANELS), 3.1), sharex=True, sharey=True)
    x = torch.linspace(-_REACH, _REACH, 801).reshape(-1, 1, 1, 1)
    for axis, (name, options, moved, title) in zip(axes, _PANELS, strict=True):
        transform = TRANSFORMS[name](**options)
        for value in _RAW:
            raw = torch.zeros(len(x), transform.parameters_per_channel, 1, 1)
            raw[:, list(moved)] = value
            y, _ = transform.forward(x, raw)
            axis.plot(x.flatten().numpy(), y.flatten().numpy(), linewidth=1.3, label=f"raw {value:+g}")
        if "bound" in options:
            axis.axvspan(-options["bound"], options["bound"], color="black", alpha=0.06, linewidth=0)
        axis.set(title=title, xlabel="x", aspect="equal", xlim=(-_REACH, _REACH), ylim=(-_REACH, _REACH))
    axes[0].set_ylabel("c(x)")
    axes[0].legend(fontsize=7)
    return figure
