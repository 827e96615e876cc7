"""Invertible residual networks: i-ResNet (Behrmann et al. 2019) and Residual Flow (Chen et al. 2019), paper B's 4.1.

z = x + g(x) with Lip(g) < 1; the inverse is the fixed point of x = z - g(x). |z - z'| lies within (1 - L) and (1 + L)
times |x - x'|: stable in both directions, by construction (paper B, Table 3).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.flow.bijection import Bijection, Chain
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.squeeze import Squeeze
from models.flow.place import Place
from models.lab.lipschitz import LipschitzNet
from models.lab.log_det import Exact, LogDet, Roulette
from models.lab.logit import Logit


class NotConvergedWarning(RuntimeWarning):
    """A fixed-point iteration reached its limit: what it returned is the last iterate."""


class ResidualBlock(Bijection):
    """z = x + net(x), ``net`` a contraction of pictures ``(B, C, H, W)``.

    ``log_det``: how the log-determinant is computed; all but ``Exact`` are random, so that forward's and inverse's are
    equal in the mean alone. The inverse iterates until no value changes by more than ``tolerance`` relative to the
    picture's largest (or to 1), at most ``iterations`` times, a picture at a time; for those that have not converged
    by then it returns the last iterate, with a ``NotConvergedWarning`` that says how many they are and how far off.
    Rounding sets a floor to the tolerance. Gradients of the inverse are those of the fixed point (implicit).
    """

    def __init__(
        self,
        net: LipschitzNet,
        log_det: LogDet | None = None,
        tolerance: float = 1e-12,
        iterations: int = 1000,
    ) -> None:
        super().__init__()
        self.net = net
        self.log_det = log_det or Roulette()
        self.tolerance = tolerance
        self.iterations = iterations

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Add the residual; see the contract."""
        y, log_det = self.log_det(self.net, x)
        return x + y, log_det

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Find what the residual was added to; see the contract."""
        x = self._fixed_point(z.detach())
        if torch.is_grad_enabled():
            x = self._with_gradient(z, x)
        return x, -self.log_det(self.net, x)[1]

    @torch.no_grad()
    def _fixed_point(self, z: Tensor) -> Tensor:
        """Return x with x = z - net(x), picture by picture: each stops when it has converged."""
        x, active, change = z.clone(), torch.arange(len(z), device=z.device), z.new_zeros(len(z))
        for _ in range(self.iterations):
            new = z[active] - self.net(x[active])
            change[active] = (new - x[active]).abs().amax((1, 2, 3))
            x[active] = new
            active = active[~(change[active] <= self._allowed(new)) & new.isfinite().flatten(1).all(1)]
            if not len(active):
                break
        failed = z.isfinite().flatten(1).all(1) & ~(change <= self._allowed(x))
        if failed.any():
            warnings.warn(
                f"{self.place or 'residual block'}: the inverse did not converge for {int(failed.sum())} of {len(z)} "
                f"pictures within {self.iterations} iterations; the last one changed values by up to "
                f"{float(change[failed].max()):.1e} (allowed: {self.tolerance:.0e} relative)",
                NotConvergedWarning,
                stacklevel=2,
            )
        return x

    def _allowed(self, x: Tensor) -> Tensor:
        return max(self.tolerance, 4 * torch.finfo(x.dtype).eps) * x.abs().amax((1, 2, 3)).clamp(min=1.0)

    def _with_gradient(self, z: Tensor, x: Tensor) -> Tensor:
        """Return the fixed point ``x`` of ``z`` with its gradient: that of x solves w + J^T w = gradient."""
        start = x.requires_grad_()
        residual = self.net(start)
        x = z - self.net(x.detach())

        def solve(gradient: Tensor) -> Tensor:
            w = gradient
            for _ in range(self.iterations):
                new = gradient - torch.autograd.grad(residual, start, w, retain_graph=True)[0]
                change, w = (new - w).abs().amax((1, 2, 3)), new
                if (change <= self._allowed(new)).all():
                    break
            return w

        if x.requires_grad:
            x.register_hook(solve)
        return x.view_as(x)  # whoever asks for gradients at x itself is not to run into the hook


def residual_flow(
    channels: int,
    size: tuple[int, int],
    levels: int,
    blocks: int,
    hidden: int,
    coefficient: float = 0.98,
    kernels: Sequence[int] = (3, 1, 3),
    log_det: LogDet | None = None,
    actnorm: bool = True,
    squeeze: bool = True,
    logit: float | None = None,
) -> Chain:
    """Return a Residual Flow of pictures ``(B, channels, *size)``: levels of squeeze, blocks x (actnorm, residual).

    Nothing is factored out. ``coefficient``: of every convolution's norm; 0.98 for pictures in paper B, 0.8 for points
    (its released code: 0.7). ``logit``: a, if pictures in [0, 1] are to be mapped to the line first (0.05 in paper B).
    """
    height, width = size
    layers: list[Bijection] = [] if logit is None else [_placed(Logit(logit), Place(0, 0, "logit"))]
    for level in range(1, levels + 1):
        if squeeze:
            channels, height, width = 4 * channels, height // 2, width // 2
            layers += [_placed(Squeeze(), Place(level, 0, "squeeze"))]
        for number in range(1, blocks + 1):
            first = level == number == 1
            net = LipschitzNet(channels, hidden, kernels, coefficient, (height, width), activation_first=not first)
            if actnorm:
                layers += [_placed(ActNorm(channels), Place(level, number, "actnorm"))]
            layers += [_placed(ResidualBlock(net, log_det), Place(level, number, "residual block"))]
    return Chain(layers)


def residual_flow_of_points(blocks: int = 100, hidden: int = 128, coefficient: float = 0.8) -> Chain:
    """Return paper B's residual flow of the checkerboard (appendix C, Table 4): points ``(B, 2, 1, 1)``, exact."""
    return residual_flow(2, (1, 1), 1, blocks, hidden, coefficient, (1,) * 5, Exact(), actnorm=False, squeeze=False)


def _placed(layer: Bijection, place: Place) -> Bijection:
    layer.place = place
    return layer
