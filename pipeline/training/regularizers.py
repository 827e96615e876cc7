"""Penalties that keep a bijection and its inverse stable while something else is trained (paper B, 3.3 and appendix G).

    regularizer = regularizer_of("finite_differences", {"weight": 1e-3})
    if regularizer.due(step):
        loss = loss + regularizer(network, x, condition, source, encoded)

``network`` is any ``Bijection`` of pictures x ``(B, C, H, W)``, d = C * H * W values each; ``condition`` is what its
``share`` returned, None for an unconditional one. ``source`` is the CPU generator that directions are drawn from, so
that who names it by step and rank draws the same after a resume. ``encoded`` is ``network(x, condition)`` where it was
computed already, in the graph; it saves a forward pass. The penalty is a scalar, its weight included, in float32 at
least: under autocast finite differences are those of the network in float32, at the condition as autocast left it,
since a step of 0.1 spread over d values drowns in bfloat16's rounding.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from models.flow.bijection import Bijection, standard_normal_log_prob
from models.flow.recomputation import exchange
from pipeline.errors import nearest

Encoded = tuple[Tensor, Tensor]  # (z, log_det) of the batch
Option = bool | int | float | str


@dataclasses.dataclass(frozen=True)
class Regularizer(ABC):
    """A penalty; the fields of its dataclass are its options. ``weight``: what the penalty is multiplied by.

    Options that make no sense raise ValueError. To add one: a class here and its line in ``REGULARIZERS``.
    """

    name: ClassVar[str]
    weight: float

    def __post_init__(self) -> None:
        _check_positive(weight=self.weight)

    def due(self, step: int) -> bool:
        """Return whether the penalty is a part of the loss in ``step``, which counts from 0."""
        return True

    @abstractmethod
    def __call__(
        self, network: Bijection, x: Tensor, condition: Any, source: torch.Generator, encoded: Encoded | None = None
    ) -> Tensor:
        """Return the penalty of this batch; the module says what it takes."""

    @classmethod
    def with_options(cls, given: Mapping[str, Option]) -> Self:
        """Return the regularizer with options of params.yaml; ValueError for what it does not know or lacks."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in given:
            if name not in fields:
                raise ValueError(f"option '{name}' does not exist; {nearest(name, fields)}")
        if missing := [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in given]:
            raise ValueError(f"option '{missing[0]}' is missing; {cls.name} needs it")
        return cls(**given)  # type: ignore[arg-type]


class _Rule(NamedTuple):
    """How directions are drawn and what is made of them."""

    directions: Callable[[Tensor], Tensor]  # of values that are N(0, I), (B, ...), to v of that shape
    penalty: Callable[[Tensor, float], Tensor]  # of |difference|^2 per picture (B,), and eps; a scalar


DIRECTIONS: dict[str, _Rule] = {
    "per_sample": _Rule(
        lambda n: n / torch.linalg.vector_norm(n, dim=tuple(range(1, n.ndim)), keepdim=True),
        lambda squared, eps: squared.mean() / eps**2,
    ),
    "released": _Rule(
        lambda n: n / torch.linalg.vector_norm(n, dim=0, keepdim=True),
        lambda squared, eps: squared.sum() / eps,
    ),
}


@dataclasses.dataclass(frozen=True)
class FiniteDifferences(Regularizer):
    """Bi-directional finite differences (paper B, eq. 6): how far F and its inverse G carry a small step apart.

    The penalty is weight * (forward term + inverse term), computed in every ``every``-th step alone, at full weight
    there. With z = F(x), ``directions`` v_b and v'_b for picture b, drawn anew each time, and
    f_b = |F(x_b) - F(x_b + eps v_b)|^2, g_b = |x_b - G(z_b + eps v'_b)|^2 (Euclidean norms over all values):

    - "per_sample": v_b is uniform on the unit sphere of R^d, as the text says; the terms are mean_b f_b / eps^2 and
      mean_b g_b / eps^2. Eq. 6's quotient is squared, as the released code does too, which makes it smooth at 0; in the
      mean over v the terms tend to mean_b |J_F(x_b)|^2 / d and mean_b |J_G(z_b)|^2 / d (Frobenius norms) as eps -> 0.
    - "released": normal values divided by their norm over the batch, value by value, and the terms are sum_b f_b / eps
      and sum_b g_b / eps: by eps, not by its square. E |v_b|^2 = d / B, so that steps are sqrt(d / B) times as long,
      and the terms tend to eps * mean_b |J|^2. The paper's grid of weights (1e-3, 1e-4, 5e-5) is of this form; a weight
      is eps * d times as strong here as it is per sample. The batch is what one worker holds of it.

    x_b stands for G(z_b), which saves an inverse pass and lets the term see the error of reconstruction: G(F(x)) = x
    for all parameters, so both have the same value and, z being differentiated as well, the same gradient. Both terms
    have gradients: autograd differentiates the inverse as it does the forward pass. It costs one pass of either.
    """

    name: ClassVar = "finite_differences"
    eps: float = 0.1  # appendix G
    every: int = 10  # appendix G: 1, 5 and 10 stabilize alike
    directions: str = "per_sample"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(eps=self.eps, every=self.every)
        if not isinstance(self.every, int):
            raise ValueError(f"every must be a whole number of steps, got {self.every!r}")
        if self.directions not in DIRECTIONS:
            raise ValueError(f"directions '{self.directions}' do not exist; {nearest(self.directions, DIRECTIONS)}")

    def due(self, step: int) -> bool:
        """Return whether ``step`` is the ``every``-th one, counted as logs do: step 9 is the 10th."""
        return (step + 1) % self.every == 0

    def __call__(
        self, network: Bijection, x: Tensor, condition: Any, source: torch.Generator, encoded: Encoded | None = None
    ) -> Tensor:
        """Return weight * (forward term + inverse term)."""
        rule, kind = DIRECTIONS[self.directions], x.device.type
        if torch.is_autocast_enabled(kind):
            condition, encoded = exchange(condition, _once(_full)), None
        with torch.autocast(kind, enabled=False):
            z = (network(x, condition) if encoded is None else encoded)[0]
            moved, _ = network(x + self.eps * _drawn(rule, x, source), condition)
            back, _ = network.inverse(z + self.eps * _drawn(rule, z, source), condition)
            forward = (z - moved).square().flatten(1).sum(1)
            inverse = (x - back).square().flatten(1).sum(1)
            return self.weight * (rule.penalty(forward, self.eps) + rule.penalty(inverse, self.eps))


@dataclasses.dataclass(frozen=True)
class NormalizingFlow(Regularizer):
    """Paper B's second regularizer: weight * the mean over the batch of -(log N(z; 0, I) + log_det), nats a picture.

    That is the paper's unit; divided by d it is nats per dimension, by d ln 2 bits per dimension. It is a part of every
    step's loss. The paper's grid of weights is 1e-3, 1e-4, 1e-5.

    For a flow that is trained by this likelihood itself, in the published unit nats / (ln 2 * H * W), ``conditions``
    "own" only multiplies that loss by 1 + weight * ln 2 * H * W. "shuffled" (ours) therefore gives every picture the
    condition of the one before it in the batch, so that it acts where the training does not look: on pairs that do
    not belong together. It raises ValueError where there is nothing to shuffle: one picture, or no condition.
    """

    name: ClassVar = "normalizing_flow"
    conditions: str = "own"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.conditions not in ("own", "shuffled"):
            raise ValueError(
                f"conditions '{self.conditions}' do not exist; {nearest(self.conditions, ('own', 'shuffled'))}"
            )

    def __call__(
        self, network: Bijection, x: Tensor, condition: Any, source: torch.Generator, encoded: Encoded | None = None
    ) -> Tensor:
        """Return weight * the mean negative log-likelihood in nats; nothing is drawn from ``source``."""
        if self.conditions == "shuffled":
            if condition is None or len(x) == 1:
                lacking = "a condition" if condition is None else "more than one picture per worker and batch"
                raise ValueError(f"{self.name}: conditions: shuffled needs {lacking}; take conditions: own")
            condition, encoded = exchange(condition, _once(lambda tensor: tensor.roll(1, 0))), None
        z, log_det = network(x, condition) if encoded is None else encoded
        with torch.autocast(x.device.type, enabled=False):
            return -self.weight * (standard_normal_log_prob(_full(z)) + log_det).mean()


REGULARIZERS: dict[str, type[Regularizer]] = {kind.name: kind for kind in (FiniteDifferences, NormalizingFlow)}


def regularizer_of(name: str, options: Mapping[str, Option]) -> Regularizer:
    """Return the regularizer of this name; ValueError, which names the nearest one, for what does not exist."""
    if name not in REGULARIZERS:
        raise ValueError(f"regularizer '{name}' does not exist; {nearest(name, REGULARIZERS)}")
    return REGULARIZERS[name].with_options(options)


def _drawn(rule: _Rule, like: Tensor, source: torch.Generator) -> Tensor:
    return rule.directions(torch.randn(like.shape, generator=source, dtype=like.dtype).to(like.device))


def _full(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def _once(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return ``change`` with a memory: of a tensor that stands in many places there is one changed copy."""
    changed: dict[int, Tensor] = {}

    def apply(tensor: Tensor) -> Tensor:
        if id(tensor) not in changed:
            changed[id(tensor)] = change(tensor)
        return changed[id(tensor)]

    return apply


def _check_positive(**values: Any) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            hint = " (YAML reads 1e-3 as text; write 1.0e-3)" if isinstance(value, str) else ""
            raise ValueError(f"{name} must be a positive number, got {value!r}{hint}")
