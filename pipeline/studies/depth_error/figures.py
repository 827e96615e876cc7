"""Paper B's Fig. 1: reconstruction error, extreme singular values and condition number by depth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.reporting.style import styled, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"float32": "#D55E00", "float64": "#0072B2", "bfloat16": "#009E73", "float16": "#CC79A7"}
_KINDS = {"affine": "#D55E00", "additive": "#0072B2"}
_CEILING = 1e20  # higher errors say no more


@styled
def depth_errors(
    errors: Mapping[tuple[str, str], Sequence[float | None]],
    depths: Sequence[int],
    spectra: Mapping[str, Sequence[tuple[float, float]]],
    epsilon: Mapping[str, float],
) -> Figure:
    """Plot the four panels; ``errors[kind, precision]`` at depths 1, 2, ..., ``spectra[kind]`` at ``depths``.

    ``epsilon``: the distance from 1 to the next number of each precision.
    """
    figure, axes = subplots(2, 2, (8.4, 6.4))
    for axis, kind in zip(axes[:2], ("affine", "additive"), strict=True):
        own = {precision: values for (k, precision), values in errors.items() if k == kind}
        for precision, values in own.items():
            shown = [math.nan if v is None or v > _CEILING else v or math.nan for v in values]
            axis.plot(range(1, len(values) + 1), shown, color=_COLOURS[precision], label=precision, linewidth=1.6)
            if kind == "affine":
                growing = [epsilon[precision] / least for _, least in spectra[kind]]
                axis.plot(depths, growing, color=_COLOURS[precision], linestyle=":", linewidth=1.0)
        _label(axis, f"{kind} couplings", "|x - F⁻¹(F(x))|")
    axes[0].set(xlim=(0, 40), ylim=(1e-17, _CEILING))
    axes[0].plot([], [], color="#555555", linestyle=":", linewidth=1.0, label="rounding / σ min")
    axes[0].legend(loc="lower right")
    axes[1].set_ylim(1e-17, 1e0)
    for kind, extremes in spectra.items():
        for index, (style, name) in enumerate((("-", "largest"), ("--", "smallest"))):
            label = f"{kind}, {name}"
            axes[2].plot(depths, [pair[index] for pair in extremes], style, color=_KINDS[kind], label=label)
        conditions = [largest / least if least else math.nan for largest, least in extremes]
        axes[3].plot(depths, conditions, color=_KINDS[kind], label=kind)
    _label(axes[2], "singular values", "σ of the Jacobian")
    _label(axes[3], "condition number", "σ max / σ min")
    axes[2].legend(loc="lower left")
    axes[3].legend(loc="upper left")
    return figure


def _label(axis: Axes, title: str, y: str) -> None:
    axis.set(title=title, xlabel="couplings", ylabel=y, yscale="log")
