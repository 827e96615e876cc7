"""From a published network's layout and options to the configuration of ours, and what is told on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.errors import CheckpointError
from pipeline.model_folder import ModelConfig
from pipeline.upstream.layout import COUPLINGS, Layout
from pipeline.upstream.options import Options

PUBLISHED_EPS = 1e-4  # what the published code takes where the options name none


@dataclasses.dataclass(frozen=True)
class Family:
    """A published line of networks. The first one of FAMILIES whose marks fit is taken."""

    name: str
    network: str  # the published class
    temperature: float  # at which its authors sample
    residual: bool = False  # frequency separation: the flow models HR - up(LR)
    robust: bool = False  # has what only robustNF's code builds


FAMILIES = (
    Family("LLFlow", "LLFlow", temperature=0.0),
    Family("robustNF", "NCSRNet", temperature=0.9, residual=True, robust=True),
    Family("FS-NCSR", "NCSRNet", temperature=0.9, residual=True),
    Family("NCSR", "NCSRNet", temperature=0.9),
    Family("SRFlow", "SRFlowNet", temperature=0.9),
)

# The published choice of tapped blocks by class, scale and number of blocks.
_TAPS: dict[tuple[str, int, int], tuple[int, ...]] = {
    ("LLFlow", 1, 24): (1, 3, 5, 7),
    ("LLFlow", 1, 4): (1,),
    ("NCSRNet", 4, 23): (1, 8, 15, 22),
    ("NCSRNet", 8, 23): (1, 8, 15, 22),
    ("SRFlowNet", 4, 23): (1, 8, 15, 22),
    ("SRFlowNet", 8, 23): (1, 3, 5, 7),
    ("SRFlowNet", 8, 8): (1, 3, 5, 7),
}


@dataclasses.dataclass(frozen=True)
class Recognized:
    """What a checkpoint is."""

    family: Family
    config: ModelConfig
    notes: tuple[str, ...]  # what was inferred or assumed, a sentence each


def recognize(path: Path, weights: Mapping[str, Tensor], layout: Layout, options: Options) -> Recognized:
    """Return what the checkpoint ``path`` is.

    The options decide what shapes cannot tell; what neither tells is the published choice. Raises
    CheckpointError where options and weights are of different networks, and where a choice is needed.
    """
    notes: list[str] = []
    _compare(path, layout, options, notes)
    family = _family(path, layout, options)
    low_light = family.network == "LLFlow"
    network: dict[str, Any] = {
        "encoder": {
            "channels": layout.channels,
            "blocks": layout.blocks,
            "growth": layout.growth,
            "taps": list(_taps(path, layout, options, notes)),
        },
        "steps": layout.steps,
        "hidden": layout.hidden,
        "permutation": layout.permutation,
        "published": True,
    }
    if low_light:
        notes.append("published LLFlow ignores the latent it is given: that is temperature 0 here")
    else:
        network |= {
            "levels": layout.levels,
            "noise_steps": list(_noise_steps(path, weights, layout, options, notes)),
            "residual": family.residual if options.residual is None and not options.file else bool(options.residual),
        }
    config = ModelConfig(
        kind="low_light" if low_light else "super_resolution",
        task="imported",
        variant=family.name,
        profile="published",
        scale=layout.scale,
        network=network,
        transform={"name": layout.transform, "options": _transform_options(layout, options, notes)},
        temperature=family.temperature,
    )
    return Recognized(family, config, tuple(notes))


def _compare(path: Path, layout: Layout, options: Options, notes: list[str]) -> None:
    """Refuse options of another network; where weights show an override of the published command, say so."""
    if options.network is not None and options.network != layout.network:
        raise CheckpointError(
            f"{options.file or '--override'} is of {options.network}, but {path} holds weights of "
            f"{_names(layout.network)}; give the options file that they were trained with"
        )
    if options.scale is not None and options.scale != layout.scale:
        raise CheckpointError(
            f"{options.file or '--override'} is of scale {options.scale}, but {path} is a network of scale "
            f"{layout.scale}; give the options file for {layout.scale}x"
        )
    said = {
        "nf": (options.channels, layout.channels),
        "nb": (options.blocks, layout.blocks),
        "K": (options.steps, layout.steps),
        "L": (options.levels, layout.levels),
        "tapped blocks": (None if options.taps is None else len(options.taps), layout.taps),
        "hidden_channels": (options.hidden, layout.hidden),
        "split.enable": (options.splits, bool(layout.splits)),
        "length of S": (None if options.noise_steps is None else len(options.noise_steps), layout.levels),
    }
    wrong = [f"{key} {here} instead of {there}" for key, (there, here) in said.items() if there not in (None, here)]
    if wrong:
        raise CheckpointError(
            f"{path} has {', '.join(wrong)} that {options.file or '--override'} says: these are options of another "
            "network, or the weights are partly saved"
        )
    coupling = next(names[0] for names, transform in COUPLINGS.items() if transform == layout.transform)
    if options.coupling is not None and coupling not in options.coupling.lower():
        notes.append(f"the weights are of {layout.transform}, not of {options.coupling} as the options say")
    if options.learned is not None and options.learned != (layout.permutation == "learned"):
        notes.append(f"the weights' 1x1 convolutions are {layout.permutation}, against permutation_train")


def _family(path: Path, layout: Layout, options: Options) -> Family:
    robust = layout.permutation != "learned" or layout.transform != "affine" or options.eps is not None
    known = options.residual is not None or bool(options.file)
    if layout.network == "NCSRNet" and not robust and not known:
        raise CheckpointError(
            f"{path} may be of NCSR or of FS-NCSR, whose weights have equal shapes; give --options, or "
            "--override divide_freq=false (NCSR) or true (FS-NCSR)"
        )
    for family in FAMILIES:
        marked = family.robust == robust and (robust or not known or family.residual == bool(options.residual))
        if family.network == layout.network and (family.network != "NCSRNet" or marked):
            return family
    raise CheckpointError(f"{path} holds a {layout.network}, which steadyflow does not have")


def _taps(path: Path, layout: Layout, options: Options, notes: list[str]) -> Sequence[int]:
    if options.taps is not None:
        return options.taps
    taps = _TAPS.get((layout.network, layout.scale, layout.blocks), ())
    if len(taps) != layout.taps:
        raise CheckpointError(
            f"{path}: shapes do not say which {layout.taps} of the {layout.blocks} RRDB blocks are tapped; "
            "give --options, or --override network_G.flow.stackRRDB.blocks=[...]"
        )
    notes.append(f"tapped blocks {list(taps)} are assumed, as published for this size")
    return taps


def _noise_steps(
    path: Path, weights: Mapping[str, Tensor], layout: Layout, options: Options, notes: list[str]
) -> Sequence[int]:
    """Return NCSR's S. A noise net that S leaves out never got a gradient: its last convolution is still zero."""
    if layout.network != "NCSRNet":
        return []
    if options.noise_steps is not None:
        return options.noise_steps
    group, net = next(names for names, transform in COUPLINGS.items() if transform == layout.transform)
    ends = {}
    for name, value in weights.items():
        if name.endswith(f".{group}.{net}_std.4.weight"):
            ends[int(name.split(".")[2])] = bool(value.any())
    used = [trained for _, trained in sorted(ends.items())]
    if len(used) != layout.levels * layout.steps:
        raise CheckpointError(
            f"{path} has {len(used)} noise nets for {layout.levels * layout.steps} steps: partly saved"
        )
    levels = [used[first : first + layout.steps] for first in range(0, len(used), layout.steps)]
    found = [sum(level) for level in levels]
    if any(level != sorted(level) for level in levels):
        raise CheckpointError(
            f"{path}: which steps see the noise map cannot be told from the weights; give --options, or "
            "--override network_G.flow.S=[...]"
        )
    notes.append(f"S {found} is inferred from which noise nets were trained")
    return found


def _transform_options(layout: Layout, options: Options, notes: list[str]) -> dict[str, float]:
    if layout.transform != "affine":
        return {"bound": 0.5, "eps": 1e-3}  # robustNF's, which its options cannot change
    if options.eps is None and not options.file:
        notes.append(
            f"eps {PUBLISHED_EPS} of the affine scale is assumed, the published default; weights cannot tell it"
        )
    return {"eps": PUBLISHED_EPS if options.eps is None else options.eps}


def _names(network: str) -> str:
    return " or ".join(family.name for family in FAMILIES if family.network == network)
