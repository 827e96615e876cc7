"""Paper B's flows of points of the plane: depth error (Fig. 1), checkerboard (Figs. 2, 8), regression (Figs. 6, 13).

A point is an image of one pixel and two channels, so that every layer is the one that the image flows use.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from models.flow.bijection import Bijection, Chain
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.conditional_net import UnconditionalNet
from models.flow.layers.coupling import Coupling
from models.flow.layers.permutation import reverse
from models.flow.place import Place
from models.flow.transforms import Transform
from models.lab.lipschitz import LipSwish

POINT_CHANNELS = 2


class PointNet(UnconditionalNet):
    """A fully connected net of x alone, ``(B, x, 1, 1)`` to ``(B, out, 1, 1)``; PyTorch's own start.

    ``activation``: makes one. ``activation_first``: also one before the first layer, as in the released code.
    """

    def __init__(
        self,
        x_channels: int,
        feature_channels: int,
        hidden: int,
        out_channels: int,
        layers: int,
        activation: Callable[[], nn.Module],
        activation_first: bool = False,
    ) -> None:
        super().__init__()
        widths = [x_channels, *[hidden] * layers, out_channels]
        parts: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            parts += [activation(), nn.Linear(before, after)]
        self.layers = nn.Sequential(*parts[0 if activation_first else 1 :])

    def forward(self, x: Tensor | None, shared: Tensor | None) -> Tensor:
        """Return raw parameters."""
        raw: Tensor = self.layers(x.flatten(1))  # type: ignore[union-attr]
        return raw[:, :, None, None]


class Constant(UnconditionalNet):
    """A net that says the same whatever it sees: raw parameters ``values``, for one channel, in x's precision."""

    def __init__(self, values: Sequence[float]) -> None:
        super().__init__()
        self.values = tuple(values)

    def forward(self, x: Tensor | None, shared: Tensor | None) -> Tensor:
        """Return the values, ``(1, P, 1, 1)``."""
        return x.new_tensor(self.values).view(1, -1, 1, 1)  # type: ignore[union-attr]


def depth_flow(transform: Transform, depth: int, shift: float = 0.123456789) -> Chain:
    """Return section 2's example (Fig. 1): couplings that all transform the second coordinate, by a constant shift.

    ``transform``: ``Additive()``, or ``RangedAffine(0.1, 0.1)`` for the scale g = 0.1.
    """
    raw = [shift] + [0.0] * (transform.parameters_per_channel - 1)
    layers = [
        Coupling(POINT_CHANNELS, transform, 0, 0, net=lambda *sizes: Constant(raw))  # the sizes do not matter
        for _ in range(depth)
    ]
    return _numbered([("coupling", layer) for layer in layers], 1)


def checkerboard_flow(transform: Transform, blocks: int = 100, width: int = 128) -> Chain:
    """Return the checkerboard's affine flow (appendix C, Table 4): per block, each coordinate moves the other once.

    ``transform``: ``RangedAffine(least=0)`` or, modified, ``RangedAffine()``. Nets have four hidden layers of swish.
    """
    net = functools.partial(PointNet, layers=4, activation=LipSwish, activation_first=True)
    layers: list[tuple[str, Bijection]] = []
    for _ in range(2 * blocks):
        layers += [("coupling", Coupling(POINT_CHANNELS, transform, 0, width, net=net))]
        layers += [("permutation", reverse(POINT_CHANNELS))]
    return _numbered(layers, 2)


def regression_flow(transform: Transform, steps: int = 24, width: int = 128) -> Chain:
    """Return the regression's Glow (appendix F): steps of actnorm, reverse, coupling; nets of two hidden ReLU layers.

    The paper does not give the number of steps; its released code has 3 x 8, of width 10.
    """
    net = functools.partial(PointNet, layers=2, activation=nn.ReLU)
    layers: list[tuple[str, Bijection]] = []
    for _ in range(steps):
        layers += [("actnorm", ActNorm(POINT_CHANNELS)), ("permutation", reverse(POINT_CHANNELS))]
        layers += [("coupling", Coupling(POINT_CHANNELS, transform, 0, width, net=net))]
    return _numbered(layers, 3)


def _numbered(layers: list[tuple[str, Bijection]], per_step: int) -> Chain:
    for place, (name, layer) in enumerate(layers):
        layer.place = Place(0, place // per_step + 1, name)
    return Chain(layer for _, layer in layers)
