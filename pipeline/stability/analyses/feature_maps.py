"""The features of a draw that explodes, after every layer of the inverse pass, as pictures (paper A, Fig. 8)."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from models.flow.bijection import Bijection
from models.flow.observing import observe_inverse
from pipeline.console import progress
from pipeline.stability.contract import Analysis, Found, Number, Picture
from pipeline.stability.drawing import NOT_FINITE_NAME, Pixels, Tile, heat, legend, tiled
from pipeline.stability.measure.round_trip import spread
from pipeline.stability.subject import IN_DISTRIBUTION, Input, Subject

FEATURE_MAPS = "feature_maps.png"
_COLUMNS = 12
_SIDE = 96  # pixels of a map
_LEAST, _MOST = -4.0, 12.0  # of the colour scale, log10: beyond it, how large hardly matters


class Worst(NamedTuple):
    """One draw of one input, and how bad it is: values not finite, then the largest magnitude."""

    badness: tuple[float, float]
    of: Input
    draw: int


@dataclasses.dataclass(frozen=True)
class FeatureMaps(Analysis):
    """Maps of the worst draw on any stress input and of the worst one on a photograph, ``layers`` of each at most."""

    name: ClassVar = "feature_maps"
    title: ClassVar = "Feature maps of the worst draw"
    cost: ClassVar = "seconds"
    numbers: ClassVar = {
        "largest_in_distribution": Number("Largest feature of the worst draw, photographs", "log10"),
        "largest_stress": Number("Largest feature of the worst draw, stress inputs", "log10"),
    }
    shown: ClassVar = (
        Picture(
            FEATURE_MAPS,
            "The worst draw on a stress input, then the worst on a photograph: log10 of the mean magnitude over "
            "channels, after each layer of the inverse pass from latent to picture, one colour scale for both (Hong et "
            f"al., ICCV 2023, Fig. 8). {NOT_FINITE_NAME.capitalize()}: a channel is not finite.",
            "Feature maps after the layers of the inverse pass, for a stress input and for a photograph",
        ),
    )
    layers: int = 60

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ValueError(f"layers must be 1 or more, got {self.layers}")

    @torch.no_grad()
    def run(self, subject: Subject) -> Found:
        """Return log10 of the largest magnitude of any feature of both draws, and the picture of their maps.

        The draws are those of ``bad_pixels``. None where a feature is not finite: its reason says behind which layer.
        """
        worst = _worst_draws(subject)
        numbers: dict[str, float | None] = {}
        reasons: dict[str, str] = {}
        maps: dict[str, list[tuple[list[str], Tensor]]] = {}
        for where, found in sorted(worst.items(), reverse=True):  # stress inputs first
            name = f"largest_{where}"
            features = _features(subject, found)
            numbers[name], reason = _largest(features)
            if reason:
                reasons[name] = reason
            kept = [features[0], *(features[index] for index in spread(len(features) - 1, self.layers))]
            maps[found.of.name] = [(lines, _map(feature)) for lines, feature in kept]
        said = f"worst draw on a stress input: {worst['stress'].of.name}" if "stress" in worst else ""
        return Found(numbers, reasons, {}, {FEATURE_MAPS: _drawn(maps)}, said)


def _worst_draws(subject: Subject) -> dict[str, Worst]:
    """Return the worst draw on photographs and on stress inputs, of those there are."""
    worst: dict[str, Worst] = {}
    for each in progress(subject.inputs(), "feature maps"):
        padded, condition = subject.condition(each.seen)
        images, _ = subject.network.inverse(subject.latents(padded, each.name), condition)
        finite = images.isfinite().flatten(1)
        broken = (~finite).sum(1).tolist()
        largest = torch.where(finite, images.flatten(1).abs(), 0.0).amax(1).tolist()
        draws = [Worst(badness, each, draw) for draw, badness in enumerate(zip(broken, largest, strict=True))]
        where = IN_DISTRIBUTION if each.condition == IN_DISTRIBUTION else "stress"
        worst[where] = max([*([worst[where]] if where in worst else []), *draws], key=lambda found: found.badness)
    return worst


def _features(subject: Subject, worst: Worst) -> list[tuple[list[str], Tensor]]:
    """Return the latent and what comes out of every layer, ``(1, C, h, w)`` each, with two lines that name it."""
    padded, condition = subject.condition(worst.of.seen)
    z = subject.latents(padded, worst.of.name)[worst.draw : worst.draw + 1]
    found = [([worst.of.name, "latent"], z)]

    def observe(layer: Bijection, output: Tensor) -> None:
        if layer.place:
            place = str(layer.place).removesuffix(layer.place.role).strip()
            found.append(([place, layer.place.role], output))

    with observe_inverse(observe):
        subject.network.inverse(z, condition)
    return found


def _largest(features: list[tuple[list[str], Tensor]]) -> tuple[float | None, str]:
    """Return log10 of the largest magnitude, or None and where the first value is that is not finite."""
    for lines, feature in features:
        if not bool(feature.isfinite().all()):
            return None, f"not finite from {' '.join(lines)} on"
    largest = max(float(feature.double().abs().max()) for _, feature in features)
    return (math.log10(largest), "") if largest > 0 else (None, "all features are zero")


def _map(feature: Tensor) -> Tensor:
    """Return log10 of the mean magnitude over channels, ``(h, w)``; not finite where a channel is not."""
    return feature[0].double().abs().mean(0).log10()


def _drawn(maps: dict[str, list[tuple[list[str], Tensor]]]) -> Pixels:
    values = torch.cat([values.flatten() for named in maps.values() for _, values in named])
    values = values[values.isfinite()].clamp(_LEAST, _MOST)
    low, high = (math.floor(float(values.min())), math.ceil(float(values.max()))) if values.numel() else (0, 1)
    high = max(high, low + 1)
    tiles = [[Tile(lines, heat(values, low, high, _SIDE)) for lines, values in named] for named in maps.values()]
    scale = f"log10 of the mean magnitude over channels{f' (larger ones as {high})' if high == _MOST else ''}"
    return tiled(tiles, _COLUMNS, legend(low, high, scale))
