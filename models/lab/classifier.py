"""Paper B's invertible classifier (section 4.2, appendix G, Table 8): Glow without splits, projected to classes.

level = squeeze, 16 x (actnorm, shuffle or 1x1, coupling);   logits = Linear(ReLU(BatchNorm(z)))
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from models.flow.bijection import Bijection
from models.flow.layers.conditional_net import UnconditionalNet, ZeroConv2d
from models.flow.multiscale import multiscale_flow
from models.flow.transforms import Transform


class PlainNet(UnconditionalNet):
    """conv3x3 - relu - conv1x1 - relu - zero conv3x3, of x alone: the net inside of the classifier's couplings."""

    def __init__(self, x_channels: int, feature_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        if feature_channels:
            raise ValueError(f"PlainNet sees no features, got {feature_channels} channels of them")
        self.first = nn.Conv2d(x_channels, hidden, 3, padding=1)
        self.mix = nn.Conv2d(hidden, hidden, 1)
        self.out = ZeroConv2d(hidden, out_channels)

    def forward(self, x: Tensor | None, shared: Tensor | None) -> Tensor:
        """Return raw parameters ``(B, out, H, W)`` for ``x`` ``(B, x_channels, H, W)``."""
        raw: Tensor = self.out(F.relu(self.mix(F.relu(self.first(x)))))
        return raw


class Classified(NamedTuple):
    """What a classifier says of a batch of pictures."""

    z: Tensor  # (B, channels * 4^L, H / 2^L, W / 2^L), all that is in the picture
    log_det: Tensor  # (B,), nats
    logits: Tensor  # (B, classes)


class InvertibleClassifier(Bijection):
    """Picture ``(B, channels, size, size)`` to features ``z`` of as many values; ``classify`` also gives logits.

    As a bijection it is what lies before the projection, so that every audit of a flow is one of a classifier. The
    defaults are paper B's. ``transform``: ``Additive()`` and ``RangedAffine(least=0)`` are eqs. 3 and 4,
    ``RangedAffine(least=0, shift_first=True)`` what its released code trains. ``permutation``: "shuffle" or "learned"
    (1x1 convolutions). ``size``: a multiple of 2^levels, pixels; raises ValueError if it is not.
    """

    def __init__(
        self,
        transform: Transform,
        permutation: str = "shuffle",
        classes: int = 10,
        size: int = 32,
        levels: int = 3,
        steps: int = 16,
        hidden: int = 128,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.multiple = 2**levels
        if size % self.multiple:
            raise ValueError(f"a classifier with {levels} levels needs a size that {self.multiple} divides, got {size}")
        self.latent_channels = channels * 4**levels
        self.flow = multiscale_flow(
            transform,
            levels,
            steps,
            hidden,
            feature_channels=0,
            permutation=permutation,
            channels=channels,
            transitions=0,
            net=PlainNet,
        )
        values = channels * size**2
        self.head = nn.Sequential(nn.BatchNorm1d(values), nn.ReLU(), nn.Linear(values, classes))

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, rows, columns) of the features of a picture of this size in pixels."""
        return self.latent_channels, height // self.multiple, width // self.multiple

    def classify(self, x: Tensor) -> Classified:
        """Return features, log-determinant and logits of pictures."""
        z, log_det = self(x)
        return Classified(z, log_det, self.head(z.flatten(1)))

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Return the features; see the contract."""
        result: tuple[Tensor, Tensor] = self.flow(x)
        return result

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Restore pictures from features; see the contract."""
        return self.flow.inverse(z)
