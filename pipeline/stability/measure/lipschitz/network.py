"""The bi-Lipschitz bound of a whole network at one input, layer by layer, beside what its layers really do there.

Bounds of layers multiply to one of the network; it is reported as log10, since it soon exceeds any float. Such a
product is far above what any input meets: it supposes that every layer is at its worst, in the direction that the one
before it has stretched most. It is a diagnostic of where stability may be lost, and where it cannot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from models.flow.bijection import Bijection
from pipeline.stability.measure.lipschitz.layers import Bounds, layer_bounds
from pipeline.stability.measure.lipschitz.walk import Node, Step, log10_bound, steps, walk
from pipeline.stability.measure.spectrum import Extreme, largest_singular_value

_GAIN_PRODUCTS = 200


class Gain(NamedTuple):
    """The largest singular values of a layer's own Jacobian and of its inverse's, at one input."""

    forward: Extreme
    inverse: Extreme


@dataclasses.dataclass(frozen=True)
class NetworkBounds:
    """The bounds of every layer of a network at one input, in the order from picture to latent."""

    node: Node
    layers: dict[Step, Bounds]

    def log10(self, scope: str, field: str) -> float:
        """Return log10 of the network's bound; inf where a layer has none.

        ``scope``: "everywhere" or "local". ``field``: of ``Bound``, such as "forward" or "paper_inverse".
        """
        bound: Callable[[Step], float] = lambda step: getattr(getattr(self.layers[step], scope), field)  # noqa: E731
        return log10_bound(self.node, bound)


def network_bounds(network: Bijection, x: Tensor, condition: Any = None, margin: float = 1.0) -> NetworkBounds:
    """Return the bounds of ``network``, in float64, at ``x`` ``(1, C, H, W)``; see ``layer_bounds`` for ``margin``.

    All are for this condition and this size of picture.
    """
    node, _ = walk(network, x, condition)
    return NetworkBounds(node, {step: layer_bounds(step.layer, step, margin) for step in steps(node)})


def gain(step: Step, seed: int = 0) -> Gain:
    """Return what a layer really does at its input, by the methods of ``spectrum.py``."""
    how = {"seed": seed, "products": _GAIN_PRODUCTS}
    return Gain(
        largest_singular_value(step.layer, step.x, step.condition, **how),  # type: ignore[arg-type]
        largest_singular_value(step.layer, step.z, step.condition, inverse=True, **how),  # type: ignore[arg-type]
    )
