"""Parts that benchmarks/performance.py times alone: the spline, beside other libraries', and enlarged features."""

from __future__ import annotations

import functools
import importlib.util

import torch
from arms import always, compiled_splines
from torch.nn import functional as F

from models.flow.features import convolved_enlargement
from models.flow.transforms import TRANSFORMS
from pipeline.console import say


def splines(quick, compiled):
    """Yield the works of a spline, forward and backward; ``compiled``: also of what torch compiles."""
    shape = (1, 6, 16, 16) if quick else (8, 12, 80, 80)
    batch, channels, *sides = shape
    x, works = torch.randn(shape), {}
    for name, kind in TRANSFORMS.items():
        if name in ("affine", "rational_quadratic_spline", "certified_spline"):
            transform = kind()
            h = torch.randn(batch, channels * transform.parameters_per_channel, *sides)
            works[name] = _both_ways(transform.forward, x, h)
            if name.endswith("spline"):
                works[f"{name}, plain form"] = _both_ways(functools.partial(transform.plainly, inverse=False), x, h)
                if compiled:
                    works[f"{name}, compiled"] = (compiled_splines, works[name][1])
    for name, make in (("nflows", _nflows), ("zuko", _zuko)):
        if importlib.util.find_spec(name) is None:
            say(f"{name} is not installed: its arm is left out")
        else:
            raw = torch.randn(*shape, 5)  # two bins: widths, heights, one inner slope
            works[name] = _both_ways(make(), x, raw)
    first = "nflows" if "nflows" in works else "rational_quadratic_spline, plain form"
    yield f"spline, {x.numel():,} values", {first: works[first], **works}


def enlarged(quick):
    """Yield the works of convolving features enlarged by nearest, plainly and as they are."""
    out, channels = (4, 8) if quick else (64, 256)
    for factor, side in ((2, 8), (4, 4)) if quick else ((2, 40), (2, 20), (4, 20)):
        coarse = torch.randn(1, channels, side, side)
        weight = 0.02 * torch.randn(out, channels, 3, 3)
        ways = {
            "enlarged": lambda x, weight, factor=factor: F.conv2d(_enlarged(x, factor), weight, padding=1),
            "ours": functools.partial(convolved_enlargement, factor=factor),
        }
        works = {name: (always, functools.partial(_back, way, coarse, weight)) for name, way in ways.items()}
        yield f"{channels} channels, {side} to {factor * side}", works


def _enlarged(x, factor):
    return F.interpolate(x, scale_factor=factor, mode="nearest")


def _back(function, x, weight):
    function(x.detach().requires_grad_(), weight.detach().requires_grad_()).sum().backward()


def _both_ways(function, x, raw):
    return always, functools.partial(_forward_backward, function, x, raw)


def _forward_backward(function, x, raw):
    """Transform and go back to x and the raw parameters."""
    x, raw = x.detach().requires_grad_(), raw.detach().requires_grad_()
    y, log_derivative = function(x, raw)
    (y.sum() + log_derivative.sum()).backward()


def _nflows():
    """Return nflows' spline of two bins on (-1/2, 1/2), as a function of x and raw parameters."""
    from nflows.transforms.splines import unconstrained_rational_quadratic_spline

    return lambda x, raw: unconstrained_rational_quadratic_spline(
        x, raw[..., :2], raw[..., 2:4], raw[..., 4:], tail_bound=0.5
    )


def _zuko():
    """Return zuko's, likewise."""
    from zuko.transforms import MonotonicRQSTransform

    return lambda x, raw: MonotonicRQSTransform(raw[..., :2], raw[..., 2:4], raw[..., 4:], bound=0.5).call_and_ladj(x)
