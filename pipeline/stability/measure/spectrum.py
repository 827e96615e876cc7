"""Singular values of the Jacobian of any map at a point: all of them for small inputs, the extreme ones for large.

**All.** The whole Jacobian, then a singular value decomposition, both in float64 (``singular_values``).

**The largest, by Lanczos** (``largest_singular_value``). ARPACK looks for the largest eigenvalue of A = J^T J, which
is never formed. For a unit vector v let q = |J v|^2 and r = |A v - q v|. Two things are then certain, whatever v is:

- the largest singular value is at least sqrt(q), because q = v^T A v is at most the largest eigenvalue;
- some singular value lies in [sqrt(max(q - r, 0)), sqrt(q + r)]. Proof: with A = sum l_i e_i e_i^T and
  v = sum c_i e_i, r^2 = sum (l_i - q)^2 c_i^2 >= min_i (l_i - q)^2, since sum c_i^2 = 1.

That this one is the largest is what Lanczos makes likely, not certain: it would have to miss a direction in which its
random start vector, which is seeded, has nothing; or, where singular values lie closer together than the bar is wide,
it stops at a mixture of them, a little below the largest. So the error bar is exact (but for rounding) for *a*
singular value, and its lower end, raised to sqrt(q), for the largest.

**The smallest** of F at x is one over the largest of F^-1 at z = F(x), since the Jacobians there are inverse to each
other; nothing small has to be told from rounding. The condition number is the quotient of the two.

A value that is not finite, or was not found, is None and has a reason.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh  # type: ignore[import-untyped]
from torch import Tensor

from models.flow.bijection import Bijection
from pipeline.console import progress
from pipeline.seeds import generator
from pipeline.stability.measure.jacobian import Function, Linearized, Map, checked_point, function_of, jacobian

_SMALL = 64  # inputs of so few values have their whole Jacobian decomposed instead
NOT_FINITE = "not finite"


@dataclasses.dataclass(frozen=True)
class Extreme:
    """A singular value (or a condition number) with its error bar.

    ``low``, ``high``: see the module; equal to ``value`` where the whole Jacobian was decomposed. ``products``: how
    often J^T J was multiplied by a vector. A ``value`` of None has a ``reason``; its ``low`` then still is a bound
    from below of the largest singular value, and ``high`` from above of the smallest, where they are not None.
    """

    value: float | None
    low: float | None
    high: float | None
    products: int = 0
    reason: str = ""

    def inverted(self) -> Extreme:
        """Return one over it."""
        value, high, low = (None if not part else 1.0 / part for part in (self.value, self.low, self.high))
        reason = self.reason or ("" if value is not None else "zero")
        return Extreme(value, low, high, self.products, reason)


@dataclasses.dataclass(frozen=True)
class Extremes:
    """The largest and the smallest singular value of F at a point, and the condition number."""

    largest: Extreme
    least: Extreme

    @property
    def condition_number(self) -> Extreme:
        """Return the largest over the smallest; None where one of them is, or where a float does not hold it."""
        largest, least = self.largest, self.least
        products, reason = largest.products + least.products, largest.reason or least.reason
        if largest.value is None or least.value is None:
            return Extreme(None, None, None, products, reason)
        value, low, high = (
            _quotient(a, b)
            for a, b in ((largest.value, least.value), (largest.low, least.high), (largest.high, least.low))
        )
        return Extreme(value, low, high, products, "" if value is not None else "more than a float holds")


def singular_values(
    mapping: Map, x: Tensor, condition: Any = None, inverse: bool = False, rows: int = 64
) -> np.ndarray | None:
    """Return all singular values of the Jacobian at ``x`` ``(1, ...)``, descending; None if any entry is not finite.

    ``mapping``: a bijection in float64 (``float64_copy``), whose inverse's Jacobian is taken with ``inverse``, or a
    function. ``rows``: rows of the Jacobian computed at once. For inputs of up to some thousand values. ValueError
    for a point that is not one input in float64.
    """
    matrix = jacobian(function_of(mapping, condition, inverse), x, rows)
    return torch.linalg.svdvals(matrix).cpu().numpy() if bool(matrix.isfinite().all()) else None


def exact_extremes(bijection: Bijection, x: Tensor, condition: Any = None, z: Tensor | None = None) -> Extremes:
    """Return the extreme singular values of ``bijection`` at ``x`` from its whole Jacobian and its inverse's.

    ``z``: the latent of x, else it is computed.
    """
    z = _image(bijection, x, condition) if z is None else z
    largest = _exact(function_of(bijection, condition), x)
    return Extremes(largest, _exact(function_of(bijection, condition, inverse=True), z).inverted())


def extreme_singular_values(
    bijection: Bijection,
    x: Tensor,
    condition: Any = None,
    z: Tensor | None = None,
    seed: int = 0,
    products: int = 300,
    tolerance: float = 1e-3,
    what: str = "",
) -> Extremes:
    """Return the extreme singular values of ``bijection`` at ``x`` by Lanczos; arguments as below, ``z`` as above."""
    z = _image(bijection, x, condition) if z is None else z
    how = {"seed": seed, "products": products, "tolerance": tolerance}
    forward, backward = (f"{what}, {way}" if what else "" for way in ("forward", "inverse"))
    largest = largest_singular_value(bijection, x, condition, what=forward, **how)  # type: ignore[arg-type]
    least = largest_singular_value(bijection, z, condition, inverse=True, what=backward, **how)  # type: ignore[arg-type]
    return Extremes(largest, least.inverted())


def largest_singular_value(
    mapping: Map,
    x: Tensor,
    condition: Any = None,
    inverse: bool = False,
    seed: int = 0,
    products: int = 300,
    tolerance: float = 1e-3,
    what: str = "",
) -> Extreme:
    """Return the largest singular value of the Jacobian at ``x`` ``(1, ...)`` by Lanczos; see the module.

    ``products``: at most so many with J^T J, each about two backward passes. ``tolerance``: half the width of the
    error bar to stop at, relative; if only ten times as much is reached, that is returned. ``what``: names the
    progress that is shown; none if empty. Deterministic for one ``seed``. ValueError as ``singular_values``.
    """
    function = function_of(mapping, condition, inverse)
    if x.numel() <= _SMALL:
        return _exact(function, x)
    linearized = Linearized(function, x)
    if not bool(linearized.value.isfinite().all()):
        return Extreme(None, None, None, reason=NOT_FINITE)
    random = generator("lanczos", seed)
    v, u = (torch.randn(part.shape, generator=random, dtype=x.dtype).to(x.device) for part in (x, linearized.value))
    if not bool(linearized.forward(v).any()):
        return Extreme(0.0, 0.0, 0.0)  # a random vector has something of every direction
    if not linearized.is_consistent(v, u):
        return Extreme(None, None, None, reason="its derivative cannot be derived again (an inverse by iteration?)")
    operator = _Normal(linearized, x, products, what)
    try:
        return _lanczos(operator, v.flatten().cpu().numpy(), tolerance)
    finally:
        operator.close()


class _Stopped(Exception):
    """Lanczos is to stop: the limit is reached, or a product is not finite."""


class _Normal(LinearOperator):
    """v -> J^T J v for scipy, with a limit, progress, and the largest |J v| / |v| that was met."""

    def __init__(self, linearized: Linearized, x: Tensor, limit: int, what: str) -> None:
        super().__init__(np.float64, (x.numel(), x.numel()))
        self._linearized, self._shape, self._device = linearized, x.shape, x.device
        self._ticks: Iterator[int] = progress(range(limit), what) if what else iter(range(limit))
        self.done = 0
        self.met = 0.0

    def _matvec(self, v: np.ndarray) -> np.ndarray:
        if next(self._ticks, None) is None:
            raise _Stopped(f"no convergence in {self.done} products")
        self.done += 1
        given = torch.from_numpy(np.array(v, dtype=np.float64)).view(self._shape).to(self._device)
        moved = self._linearized.forward(given)
        back = self._linearized.adjoint(moved)
        if not bool(back.isfinite().all()):
            raise _Stopped(NOT_FINITE)
        self.met = max(self.met, float(moved.norm() / given.norm()))
        result: np.ndarray = back.flatten().cpu().numpy()
        return result

    def close(self) -> None:
        """End the progress."""
        if close := getattr(self._ticks, "close", None):
            close()


def _lanczos(operator: _Normal, start: np.ndarray, tolerance: float) -> Extreme:
    """Return what ARPACK finds: first ten times as coarse, from there on as fine as asked for."""
    found, reason = None, ""
    try:
        for coarse in (10.0, 1.0):
            # of an eigenvalue, so twice as much: sqrt(q + r) is about sqrt(q) (1 + r / 2q)
            _, vectors = eigsh(operator, k=1, which="LA", v0=start, tol=2.0 * coarse * tolerance, ncv=32)
            start = vectors[:, 0] / np.linalg.norm(vectors[:, 0])
            product = operator.matvec(start)
            q = float(start @ product)
            r = float(np.linalg.norm(product - q * start))
            found = math.sqrt(q), math.sqrt(max(q - r, 0.0)), math.sqrt(q + r)
            if found[2] - found[0] <= tolerance * found[0]:
                break
    except _Stopped as stop:
        reason = str(stop)
    except ArpackError as error:
        reason = f"Lanczos failed ({error})"
    if found is None:
        return Extreme(None, operator.met or None, None, operator.done, reason)
    return Extreme(*found, operator.done)


def _exact(function: Function, x: Tensor) -> Extreme:
    values = singular_values(function, x)
    if values is None:
        return Extreme(None, None, None, reason=NOT_FINITE)
    largest = float(values[0])
    return Extreme(largest, largest, largest)


@torch.no_grad()
def _image(bijection: Bijection, x: Tensor, condition: Any) -> Tensor:
    z: Tensor = bijection(checked_point(x), condition)[0]
    return z


def _quotient(above: float | None, below: float | None) -> float | None:
    if above is None or not below:
        return None
    quotient = above / below
    return quotient if math.isfinite(quotient) else None
