"""A start in closed form: what a linear map can know of the first pictures is not left to gradients.

While the ActNorm layers are set from the first batch (Glow), in the same pass and layer by layer, so that every later
layer sees what the ones before it already do:

- ridge: the last convolution of each conditional net, which would start at zero, is regressed on the net's hidden
  features h, patch by patch: its shift becomes the linear prediction of the raw shift that brings x towards 0
  (``Transform.centring_shift``). With A the rows (3x3 patch of h, 1) and Y the wanted shifts, it minimizes
  |A W - Y|^2 + ridge * n * |W|^2 (the bias left out of the penalty), n the number of rows:
  W = (A^T A + ridge * n * I)^-1 A^T Y.
- whitening: a learned 1x1 convolution starts from R S^-1/2, R its random orthogonal matrix and S the covariance of
  what it sees, whose eigenvalues are raised to ``_LEAST``. After R alone the channels, which neighbouring pixels make
  alike, stay correlated. No linear map does better for a standard normal z = W x: with l the eigenvalues of W S W^T,
  the mean of -log p(x) is half the sum of l - log l, plus a constant, and that is least where every l is 1.

All sums go over the pictures of all ranks, in float64: every rank solves the same equations.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.flow.layers.actnorm import ActNorm, initializing, sum_over_ranks
from models.flow.layers.conditional_net import ConditionalNet, ZeroConv2d
from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.invertible_conv import InvertibleConv1x1

_LEAST = 1e-2  # of an eigenvalue; channels behind an ActNorm have variance 1, so that W stretches by 10 at most


@contextlib.contextmanager
def starting(module: nn.Module, ridge: float | None = None, whitening: bool = False) -> Iterator[None]:
    """In this block, start what is still to be started from the batch it sees: see the module, and ``initializing``.

    ``ridge``: weight of the penalty; None: the nets start at zero. A net whose ActNorm was started before, as in
    loaded weights, stays as it is; so does every 1x1 convolution where no ActNorm is fresh. One whose singular values
    are capped (``BoundedConv1x1``) is not whitened.
    """
    hooks: list[Any] = []
    for layer in module.modules():
        if ridge is not None and isinstance(layer, Coupling | Injector) and _is_fresh(layer.net):
            regression = _Regression(layer, ridge)
            hooks += [
                layer.register_forward_pre_hook(regression.before_layer),
                layer.net.out.register_forward_pre_hook(regression.before_out),  # type: ignore[union-attr]
            ]
    if whitening and any(isinstance(layer, ActNorm) and not bool(layer.initialized) for layer in module.modules()):
        mixing = [layer for layer in module.modules() if isinstance(layer, InvertibleConv1x1)]
        hooks += [layer.register_forward_pre_hook(_whiten) for layer in mixing]
    try:
        with initializing(module):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def _is_fresh(net: Any) -> bool:
    return isinstance(net, ConditionalNet) and not bool(net.norm1.initialized)


class _Regression:
    """Sets the last convolution of one conditional net, as soon as its hidden features and x are both known.

    A coupling knows x first and applies its net then; an injector's net is applied before, while the condition is
    shared, so its condition is made anew.
    """

    def __init__(self, layer: Coupling | Injector, ridge: float) -> None:
        self.layer, self.ridge = layer, ridge
        self.known: Tensor | None = None  # x of a coupling, hidden features of an injector

    def before_layer(self, layer: nn.Module, inputs: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
        """Take x; of an injector, also regress, and return the condition that results."""
        x, condition = inputs
        if isinstance(self.layer, Coupling):
            self.known = x[:, self.layer.passed :]
            return x, condition
        out: Any = self.layer.net.out
        hidden: Any = self._taken()
        _regress(out, hidden, x, self.layer.transform, self.ridge)
        return x, out.forward(hidden)

    def before_out(self, out: Any, inputs: tuple[Tensor]) -> None:
        """Take the hidden features; of a coupling, also regress."""
        if isinstance(self.layer, Injector):
            self.known = inputs[0]
        else:
            x: Any = self._taken()
            _regress(out, inputs[0], x, self.layer.transform, self.ridge)

    def _taken(self) -> Tensor | None:
        known, self.known = self.known, None
        return known


@torch.no_grad()
def _regress(out: ZeroConv2d, hidden: Tensor, x: Tensor, transform: Any, ridge: float) -> None:
    """Let ``out`` predict, from ``hidden`` ``(B, K, H, W)``, the raw shift that brings ``x`` ``(B, C, H, W)`` to 0."""
    wanted: Tensor = transform.centring_shift(x).double()
    size = hidden.shape[1] * 9 + 1
    gram = torch.zeros(size, size + wanted.shape[1] + 1, dtype=torch.float64, device=x.device)
    for one, target in zip(hidden, wanted, strict=True):  # one picture at a time: a patch is nine times its pixel
        patches = F.pad(F.unfold(one[None], 3, padding=1)[0].T.double(), (0, 1), value=1.0)
        beside = F.pad(target.flatten(1).T, (0, 1), value=1.0)  # the last column counts rows
        gram += patches.T @ torch.cat([patches, beside], 1)
    gram = sum_over_ranks(gram)
    square, moments, rows = gram[:, :size], gram[:, size:-1], gram[-1, -1]
    square.diagonal()[:-1].add_(ridge * rows)
    solved = torch.linalg.solve(square, moments)
    places = torch.arange(wanted.shape[1], device=x.device) * transform.parameters_per_channel + transform.shift_place
    out.conv.weight[places] = solved[:-1].T.reshape(-1, hidden.shape[1], 3, 3).to(out.conv.weight)
    out.conv.bias[places] = solved[-1].to(out.conv.weight)  # type: ignore[index]


@torch.no_grad()
def _whiten(layer: InvertibleConv1x1, inputs: tuple[Tensor, Any]) -> None:
    values = inputs[0].transpose(0, 1).flatten(1).double()
    ones = torch.ones_like(values[:1])
    moments = sum_over_ranks(torch.cat([values, ones]) @ torch.cat([values, ones]).T)
    count, mean = moments[-1, -1], moments[:-1, -1] / moments[-1, -1]
    strengths, directions = torch.linalg.eigh(moments[:-1, :-1] / count - torch.outer(mean, mean))
    root = directions * strengths.clamp(min=_LEAST).rsqrt() @ directions.T
    layer.weight.copy_(layer.weight.double() @ root)
