"""The variance of the features after every layer of a flow, in either direction."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.flow.bijection import Bijection
from models.flow.observing import Direction, observe_forward, observe_inverse
from models.flow.place import Place

_OBSERVING = {"forward": observe_forward, "inverse": observe_inverse}


class Variances(NamedTuple):
    """``values[0]`` is of what went in, ``values[i + 1]`` of what came out of the layer at ``places[i]``."""

    places: list[Place]
    values: list[float]  # over the batch, channels and pixels; computed in float64
    output: Tensor


@torch.no_grad()
def variances(flow: Bijection, value: Tensor, condition: Any = None, direction: Direction = "forward") -> Variances:
    """Return the variance of ``value`` ``(B, C, H, W)`` and of the features after every layer that has a place.

    It is not finite where a feature is not.
    """
    places: list[Place] = []
    values = [float(value.double().var())]

    def observe(layer: Bijection, output: Tensor) -> None:
        if layer.place:
            places.append(layer.place)
            values.append(float(output.double().var()))

    with _OBSERVING[direction](observe):
        output, _ = flow(value, condition) if direction == "forward" else flow.inverse(value, condition)
    return Variances(places, values, output)
