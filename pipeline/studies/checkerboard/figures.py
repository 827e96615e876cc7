"""The checkerboard's figures: errors and condition numbers over the grid (Fig. 2), densities, samples (Figs. 8, 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.reporting.style import styled, subplots
from pipeline.studies.checkerboard.problem import BORDER, REACH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_EXTENT = (-REACH, REACH, -REACH, REACH)
_CLIP = (1e-8, 1.0)  # of errors, as in the released code
_MISSING = "#FF00FF"  # what is not finite
_LEAST_DENSITY = -30.0  # log density below which all looks alike, nats

Values = Sequence[float | None]


@styled
def errors(maps: Mapping[str, Mapping[str, Values]]) -> Figure:
    """Plot per variant |x - F^-1(F(x))| over the grid, clipped to [1e-8, 1], and the condition number below."""
    from matplotlib.colors import LogNorm

    figure, axes = subplots(2, len(maps), (2.9 * len(maps) + 0.6, 5.6), sharex=True, sharey=True)
    top, bottom = axes[: len(maps)], axes[len(maps) :]
    conditions = {name: _square(own["condition"]) for name, own in maps.items()}
    finite = np.concatenate([values[np.isfinite(values)] for values in conditions.values()])
    most = float(finite.max()) if finite.size else 10.0
    for (name, own), upper, lower in zip(maps.items(), top, bottom, strict=True):
        clipped = np.clip(_square(own["error"]), *_CLIP)
        image = _show(upper, clipped, norm=LogNorm(*_CLIP))
        upper.set_title(name)
        condition = _show(lower, conditions[name], norm=LogNorm(1.0, max(most, 10.0)), cmap="cividis")
        lower.set_xlabel("x₁")
    for axis in (top[0], bottom[0]):
        axis.set_ylabel("x₂")
    figure.colorbar(image, ax=top, label="|x - F⁻¹(F(x))|, clipped")
    figure.colorbar(condition, ax=bottom, label="condition number")
    return figure


@styled
def densities(maps: Mapping[str, Mapping[str, Values]], samples: Mapping[str, Sequence[Values]]) -> Figure:
    """Plot per variant the log density over the grid (Fig. 8), and samples below (Fig. 3)."""
    figure, axes = subplots(2, len(maps), (2.9 * len(maps) + 0.6, 5.6), sharex=True, sharey=True)
    top, bottom = axes[: len(maps)], axes[len(maps) :]
    for (name, own), upper, lower in zip(maps.items(), top, bottom, strict=True):
        image = _show(upper, _square(own["density"]), vmin=_LEAST_DENSITY, vmax=0.0)
        upper.set_title(name)
        points = np.array([[math.nan if v is None else v for v in point] for point in samples[name]])
        across, up = points.clip(-REACH, REACH).T
        lower.scatter(across, up, s=1.2, color="#0072B2", linewidths=0)
        lower.set(xlabel="x₁", aspect="equal", xlim=_EXTENT[:2], ylim=_EXTENT[2:])
    for axis in (top[0], bottom[0]):
        axis.set_ylabel("x₂")
    figure.colorbar(image, ax=top, label="log p(x), nats", extend="min")
    return figure


def _show(axis: Axes, values: np.ndarray, **how: Any) -> Any:
    """Draw a map with the data's square around it; what is not finite is magenta."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    colours = colormaps[how.pop("cmap", "viridis")].with_extremes(bad=_MISSING)
    image = axis.imshow(np.ma.masked_invalid(values), origin="lower", extent=_EXTENT, cmap=colours, **how)
    axis.add_patch(Rectangle((-BORDER, -BORDER), 2 * BORDER, 2 * BORDER, fill=False, edgecolor="white", linewidth=1.2))
    axis.grid(visible=False)
    return image


def _square(values: Values) -> np.ndarray:
    side = math.isqrt(len(values))
    return np.array([math.nan if value is None else value for value in values]).reshape(side, side)
