"""Curves on a linear axis show every value, zeros and the mean among them."""

import numpy as np

from pipeline.reporting import plots
from pipeline.stability.analyses.out_of_distribution import OutOfDistribution

LINES = {"photographs": (0.0, 0.0), "photographs and stress inputs": (0.9, 0.0), "mean": (0.4, 0.4)}


def test_a_linear_axis_holds_zeros():
    rows = [
        {"inputs": name, "rank": rank, "bad_share": str(share)}
        for name, shares in LINES.items()
        for rank, share in zip(("0", "100"), shares, strict=True)
    ]
    (plot,) = OutOfDistribution.plots
    (axis,) = plots.curves(plot, {"affine": rows}).axes
    assert axis.get_yscale() == "linear" and axis.get_ylabel() == plot.y_title
    drawn = [tuple(line.get_ydata()) for line in axis.lines if len(line.get_ydata())]
    assert sorted(drawn) == sorted(LINES.values())
    (mean,) = [line for line in axis.lines if np.allclose(line.get_ydata(), 0.4) and len(line.get_ydata())]
    assert mean.get_color() == "black"
