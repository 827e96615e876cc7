"""log det(I + J) for a contraction's Jacobian J: exact, by a truncated power series, or unbiased by Russian roulette.

    log det(I + J) = sum over k >= 1 of (-1)^(k + 1) tr(J^k) / k,   tr(A) = E v^T A v for random signs v (Hutchinson)

All map (net, x ``(B, C, H, W)``) to (net(x), log_det ``(B,)`` in nats). Gradients flow through both where they are on.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.flow.bijection import log_det_dtype

Net = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class LogDet(ABC):
    """A way to get at log det(I + J)."""

    def __call__(self, net: Net, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return net(x) and the log-determinant; works where gradients are off, too."""
        tracked = torch.is_grad_enabled()
        with torch.enable_grad():
            x = x if tracked and x.requires_grad else x.detach().requires_grad_()
            y, value = self._compute(net, x, tracked)
        return (y, value) if tracked else (y.detach(), value.detach())

    @abstractmethod
    def _compute(self, net: Net, x: Tensor, tracked: bool) -> tuple[Tensor, Tensor]: ...


@dataclasses.dataclass(frozen=True)
class Exact(LogDet):
    """From the whole Jacobian, row by row: for small inputs, such as points of the plane."""

    def _compute(self, net: Net, x: Tensor, tracked: bool) -> tuple[Tensor, Tensor]:
        y = net(x)
        rows = [
            torch.autograd.grad(column.sum(), x, create_graph=tracked, retain_graph=True)[0].flatten(1)
            for column in y.flatten(1).unbind(1)
        ]
        jacobian = torch.stack(rows, 1)
        one = torch.eye(jacobian.shape[1], dtype=x.dtype, device=x.device)
        return y, torch.linalg.slogdet(one + jacobian)[1].to(log_det_dtype(x))


@dataclasses.dataclass(frozen=True)
class PowerSeries(LogDet):
    """The first terms of the series (i-ResNet). ``samples``: random vectors v.

    Biased: with |J| <= L, what is left out is at most ``bias(L, values)``.
    """

    terms: int = 10
    samples: int = 1

    def bias(self, lipschitz: float, values: int) -> float:
        """Return a bound of the truncation error in nats, for pictures of so many values."""
        return values * lipschitz ** (self.terms + 1) / ((self.terms + 1) * (1 - lipschitz))

    def _compute(self, net: Net, x: Tensor, tracked: bool) -> tuple[Tensor, Tensor]:
        return _series(net, x, [1.0] * self.terms, self.samples, tracked)


@dataclasses.dataclass(frozen=True)
class Roulette(LogDet):
    """Unbiased (Residual Flow): after ``exact_terms``, each next term is reached with probability 1 - ``stop``.

    A term that is reached is divided by the probability of reaching it. ``samples``: random vectors v, for all of
    which the series ends at the same term. ``exact_terms``: 8 in paper B's Table 7.
    """

    exact_terms: int = 8
    stop: float = 0.5
    samples: int = 1

    def _compute(self, net: Net, x: Tensor, tracked: bool) -> tuple[Tensor, Tensor]:
        more = int(torch.empty(()).geometric_(self.stop)) - 1
        weights = [1.0] * self.exact_terms + [(1 - self.stop) ** -(k + 1) for k in range(more)]
        return _series(net, x, weights, self.samples, tracked)


def _series(net: Net, x: Tensor, weights: Sequence[float], samples: int, tracked: bool) -> tuple[Tensor, Tensor]:
    """Return net(x) and sum_k weights[k - 1] (-1)^(k + 1) tr(J^k) / k, the mean over random vectors."""
    several = x.repeat(samples, 1, 1, 1)
    y = net(several)
    v = torch.randint(0, 2, y.shape, device=x.device).to(x.dtype) * 2 - 1
    total = x.new_zeros(len(several), dtype=log_det_dtype(x))
    w = v
    for k, weight in enumerate(weights, 1):
        (w,) = torch.autograd.grad(y, several, w, create_graph=tracked, retain_graph=True)
        total = total + (w * v).flatten(1).sum(1) * (weight * (-1) ** (k + 1) / k)
    return y[: len(x)], total.view(samples, len(x)).mean(0)
