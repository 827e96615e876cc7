"""The conditional flow of paper A's toy experiment (sections 3.1.1 and 4.1, appendix A.2): points of the plane.

A point is an image of one pixel and two channels, so that every layer is the one that the image flows use.

    step = actnorm, 1x1 (2 x 2, learned), coupling: one coordinate and the condition move the other one

The net inside of a coupling comes in two styles. The paper's text says four hidden layers of 64 and no more; its
released modules normalize after every layer, the last one too, and start from N(0, 0.05). What becomes of
unusual conditions depends on the choice.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.flow.bijection import Bijection, Chain
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.conditional_net import CouplingNet
from models.flow.layers.coupling import Coupling
from models.flow.layers.invertible_conv import InvertibleConv1x1
from models.flow.place import Place
from models.flow.transforms import Transform

POINT_CHANNELS = 2
_INIT_STD = 0.05  # of the released toy modules, as of Glow's convolutions


class Mlp(nn.Module):
    """A fully connected net with ReLU between its layers: ``(B, x, 1, 1)`` and ``(B, f, 1, 1)`` to ``(B, out, 1, 1)``.

    Plain: PyTorch's own start, and zero for the last layer, so that the flow starts near the identity.
    ``normalized``: weights start from N(0, 0.05) and ActNorm takes the place of the bias, in the last layer too.
    """

    def __init__(
        self,
        x_channels: int,
        feature_channels: int,
        hidden: int,
        out_channels: int,
        layers: int = 4,
        normalized: bool = False,
    ) -> None:
        super().__init__()
        self.x_channels = x_channels
        widths = [x_channels + feature_channels, *[hidden] * layers, out_channels]
        pairs = list(itertools.pairwise(widths))
        self.linear = nn.ModuleList(nn.Linear(*pair, bias=not normalized) for pair in pairs)
        self.norm = nn.ModuleList(ActNorm(width) for width in widths[1:]) if normalized else None
        if normalized:
            for layer in self.linear:
                nn.init.normal_(layer.weight, 0.0, _INIT_STD)  # type: ignore[arg-type]
        else:
            for parameter in self.linear[-1].parameters():
                nn.init.zeros_(parameter)

    def shared_shape(self, height: int, width: int) -> tuple[int, ...]:
        """Return the shape of what ``share`` returns, the batch left out."""
        return (self.linear[0].out_features,)  # type: ignore[return-value]

    def share(self, features: Tensor) -> Tensor:
        """Return the features' part of the first layer, ``(B, hidden)``."""
        return F.linear(features.flatten(1), self._first_weight()[:, self.x_channels :])

    def forward(self, x: Tensor | None, shared: Tensor) -> Tensor:
        """Return raw parameters; a ``shared`` of batch 1 broadcasts over the batch of ``x``."""
        if x is None:
            raise ValueError("the toy's couplings pass one coordinate to their net; got none")
        h = F.linear(x.flatten(1), self._first_weight()[:, : self.x_channels], self.linear[0].bias) + shared  # type: ignore[arg-type]
        h = self._normalize(h, 0)
        for index, layer in enumerate(list(self.linear)[1:], 1):
            h = self._normalize(layer(torch.relu(h)), index)
        return h[:, :, None, None]

    def _first_weight(self) -> Tensor:
        return self.linear[0].weight  # type: ignore[return-value]

    def _normalize(self, h: Tensor, index: int) -> Tensor:
        return h if self.norm is None else self.norm[index](h[:, :, None, None])[0].flatten(1)


NETS: dict[str, Callable[[int, int, int, int], CouplingNet]] = {
    "plain": Mlp,
    "normalized": functools.partial(Mlp, normalized=True),
}


class ToyFlow(Chain):
    """Points x ``(B, 2, 1, 1)`` to latents of the same shape, N(0, I) when trained, given points y ``(B, 2, 1, 1)``.

    ``depth``: steps. ``width``: of the hidden layers. ``net``: a name of ``NETS``.
    """

    def __init__(self, transform: Transform, depth: int = 4, width: int = 64, net: str = "plain") -> None:
        layers: list[Bijection] = []
        for number in range(1, depth + 1):
            step = {
                "actnorm": ActNorm(POINT_CHANNELS),
                "1x1": InvertibleConv1x1(POINT_CHANNELS),
                "coupling": Coupling(POINT_CHANNELS, transform, POINT_CHANNELS, width, net=NETS[net]),
            }
            for role, layer in step.items():
                layer.place = Place(0, number, role)
                layers.append(layer)
        super().__init__(layers)

    def share(self, features: Any) -> list[Any]:
        """Return the condition on points y ``(B, 2, 1, 1)``."""
        return super().share({"encoder": features})
