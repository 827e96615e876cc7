"""Invertible 1x1 convolutions: learned (Glow), fixed orthogonal (paper A, A.3, for 8x), and ours, bounded."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.flow.bijection import Bijection, log_det_dtype
from models.flow.layers.permutation import reverse, shuffle


def _mix(x: Tensor, weight: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        x = x if x.dtype == torch.float64 else x.float()
        # A product of matrices: for a few channels a processor has no fast 1x1 convolution.
        return (weight.to(x.dtype) @ x.flatten(2)).view_as(x)


class InvertibleConv1x1(Bijection):
    """y = W x at every pixel with a learned W (C x C, no LU), started orthogonal.

    log_det = H * W * log |det W|. The inverse of W is computed in float64.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linalg.qr(torch.randn(channels, channels))[0])

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Mix the channels; see the contract."""
        return _mix(x, self.weight), self._log_det(x)

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Unmix the channels; see the contract. A singular W gives inf or NaN, not an exception."""
        return _mix(z, torch.linalg.inv_ex(self.weight.double())[0]), -self._log_det(z)

    def _log_det(self, x: Tensor) -> Tensor:
        weight = self.weight if self.weight.dtype == torch.float64 else self.weight.float()
        return (torch.linalg.slogdet(weight)[1] * (x.shape[2] * x.shape[3])).expand(x.shape[0])


class FixedOrthogonalConv1x1(Bijection):
    """y = Q x with a fixed random orthogonal Q: inverse Q^T, log_det 0, nothing to learn."""

    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        # float64: orthogonal to rounding also in an audit at that precision, where W^T must be the inverse
        self.register_buffer("weight", torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0])

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Rotate the channels; see the contract."""
        return _mix(x, self.weight), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Rotate back; see the contract."""
        return _mix(z, self.weight.T), z.new_zeros(z.shape[0])


class BoundedConv1x1(Bijection):
    """y = Q D x with learned orthogonal Q and diagonal D in [1/limit, limit]: so are the singular values of Q D.

    Q is a fixed random rotation times the Cayley transform of a learned skew-symmetric matrix A,
    (I + A)^-1 (I - A), which is orthogonal for every A. The inverse is D^-1 Q^T, log_det = H * W * log |det D|.
    """

    rotation: Tensor

    def __init__(self, channels: int, limit: float) -> None:
        super().__init__()
        self.limit = limit
        self.weight = nn.Parameter(torch.zeros(channels, channels))  # A = weight - weight^T
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.register_buffer("rotation", torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0])

    def forward(self, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Scale and rotate the channels; see the contract."""
        return _mix(x, self._orthogonal() * self.log_factors().exp()), self._log_det(x)

    def inverse(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """Rotate and scale back; see the contract."""
        return _mix(z, (self._orthogonal() * (-self.log_factors()).exp()).T), -self._log_det(z)

    def _orthogonal(self) -> Tensor:
        weight = self.weight.double()
        skew, one = weight - weight.T, torch.eye(len(weight), dtype=torch.float64, device=weight.device)
        return self.rotation.double() @ torch.linalg.solve(one + skew, one - skew)

    def log_factors(self) -> Tensor:
        """Return the logs of D's entries, ``(C,)``."""
        return math.log(self.limit) * torch.tanh(self.log_scale.double())

    def _log_det(self, x: Tensor) -> Tensor:
        return (self.log_factors().sum() * (x.shape[2] * x.shape[3])).to(log_det_dtype(x)).expand(x.shape[0])


PERMUTATIONS: dict[str, Callable[[int], Bijection]] = {
    "learned": InvertibleConv1x1,
    "fixed_orthogonal": FixedOrthogonalConv1x1,
    "shuffle": shuffle,
    "reverse": reverse,
}
