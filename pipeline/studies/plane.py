"""Singular values of flows of the plane, exact and at many points at once.

J has two singular values, s1 >= s2, with s1^2 + s2^2 = |J|_F^2 and s1 s2 = |det J|. So

    s1^2 = (|J|_F^2 + sqrt(|J|_F^4 - 4 det^2)) / 2,   s2 = |det J| / s1.

A flow knows log |det J| from its layers, to rounding, however small it is. Computed from the entries of J, or by a
singular value decomposition of J, s2 would drown in rounding below 1e-16 s1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from models.flow.bijection import Bijection


class PlaneSpectrum(NamedTuple):
    """At each of B points, float64 ``(B,)``. ``numeric_log_det``: of the Jacobian by autograd, nats."""

    largest: Tensor
    least: Tensor
    condition: Tensor
    log_det: Tensor
    numeric_log_det: Tensor


def jacobians(flow: Bijection, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Jacobians ``(B, 2, 2)`` of ``flow`` at points ``(B, 2, 1, 1)``, and its own log-determinants ``(B,)``.

    Points must not influence each other: the rows are gradients of sums over the batch.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        z, log_det = flow(x)
        rows = [torch.autograd.grad(column.sum(), x, retain_graph=True)[0].flatten(1) for column in z.flatten(1).T]
    return torch.stack(rows, 1), log_det.detach()


def plane_spectrum(flow: Bijection, x: Tensor) -> PlaneSpectrum:
    """Return the singular values of ``flow`` at points ``(B, 2, 1, 1)``, both float64; not finite where J is not.

    Raises ValueError for another precision.
    """
    if x.dtype != torch.float64:
        raise ValueError(f"singular values are taken in float64, got {x.dtype}; give x.double() and float64_copy(flow)")
    matrices, log_det = jacobians(flow, x)
    square = matrices.square().sum((1, 2))
    root = (square.square() - 4 * (2 * log_det).exp()).clamp(min=0).sqrt()
    largest = ((square + root) / 2).sqrt()
    log_least = log_det - largest.log()
    numeric = torch.linalg.slogdet(matrices)[1]
    return PlaneSpectrum(largest, log_least.exp(), (largest.log() - log_least).exp(), log_det, numeric)
