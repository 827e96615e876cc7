"""What the names and shapes of published weights say about their network, without any options file."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from pipeline.errors import CheckpointError

# published name of a coupling and of its net: our transform
COUPLINGS = {("affine", "fAffine"): "affine", ("rqspline", "fRQspline"): "rational_quadratic_spline"}
_LAYER = re.compile(r"flowUpsamplerNet\.layers\.(\d+)\.(\w+)\.")
_BLOCK = re.compile(r"RRDB\.RRDB_trunk\.(\d+)\.")
_FOREIGN_COUPLINGS = {"bspline": "a B-spline", "affinereparam": "a reparametrized affine"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """Sizes of a published network, told from its weights."""

    network: str  # the published class: SRFlowNet, NCSRNet or LLFlow
    transform: str  # a key of TRANSFORMS
    permutation: str
    scale: int
    channels: int
    blocks: int
    growth: int
    taps: int  # how many blocks are tapped; which ones the weights do not say
    levels: int
    steps: int
    hidden: int
    splits: tuple[int, ...]  # levels with a split behind them


def read_layout(path: Path, weights: Mapping[str, Tensor]) -> Layout:
    """Return the sizes of the network that ``weights`` are of. Raises CheckpointError for another network's."""
    _refuse_foreign(path, weights)

    def size(name: str, axis: int) -> int:
        if name not in weights or weights[name].dim() <= axis:
            raise CheckpointError(f"{path}: '{name}' is missing or no weight; the file is damaged or partly saved")
        return weights[name].shape[axis]

    coupling = _coupling(path, weights)
    (group, net) = next(names for names, transform in COUPLINGS.items() if transform == coupling)
    first = next(name for name in weights if name.startswith("flowUpsamplerNet.") and f".{group}." in name)
    place = first[: first.index(f".{group}.") + len(group) + 2]
    low_light = "RRDB.conv_second.weight" in weights
    noisy = any(f".{group}.{net}_std." in name for name in weights)
    channels, features = size("RRDB.conv_first.weight", 0), size(place + "fFeatures.0.weight", 1)
    if features % channels:
        raise CheckpointError(f"{path}: {features} feature channels are no multiple of the encoder's {channels}")
    levels, steps, splits = _flow(weights, group)
    return Layout(
        network="LLFlow" if low_light else "NCSRNet" if noisy else "SRFlowNet",
        transform=coupling,
        permutation="fixed_orthogonal" if any(n.endswith("weight_transpose") for n in weights) else "learned",
        scale=1 if low_light else 2 ** sum(f"RRDB.upconv{n}.weight" in weights for n in range(1, 6)),
        channels=channels,
        blocks=1 + max((int(found[1]) for name in weights if (found := _BLOCK.match(name))), default=-1),
        growth=size("RRDB.RRDB_trunk.0.RDB1.conv1.weight", 0),
        taps=features // channels - 1,
        levels=levels,
        steps=steps,
        hidden=size(place + "fFeatures.2.weight", 0),
        splits=splits,
    )


def _refuse_foreign(path: Path, weights: Mapping[str, Tensor]) -> None:
    if any(name.startswith("flowUpsamplerNet.") for name in weights):
        return
    if any("RRDB_trunk." in name for name in weights):
        raise CheckpointError(
            f"{path} holds an RRDB encoder alone, without a flow; give the flow's checkpoint (*_G.pth)"
        )
    raise CheckpointError(
        f"{path} is no checkpoint of SRFlow, NCSR, FS-NCSR, robustNF or LLFlow (its tensors are "
        f"{', '.join(repr(name) for name in list(weights)[:3])}, ...)"
    )


def _coupling(path: Path, weights: Mapping[str, Tensor]) -> str:
    groups = {found[2] for name in weights if (found := _LAYER.match(name))}
    for (group, _), transform in COUPLINGS.items():
        if group in groups:
            return transform
    for group, what in _FOREIGN_COUPLINGS.items():
        if group in groups:
            raise CheckpointError(
                f"{path} has {what} coupling, which steadyflow does not have; affine and RQ-spline are"
            )
    raise CheckpointError(f"{path} holds a flow without couplings; the file is damaged or partly saved")


def _flow(weights: Mapping[str, Tensor], group: str) -> tuple[int, int, tuple[int, ...]]:
    """Return levels, steps per level, and the levels that a split follows; a squeeze stores nothing."""
    parts: dict[int, set[str]] = {}
    for name in weights:
        if found := _LAYER.match(name):
            parts.setdefault(int(found[1]), set()).add(found[2])
    kinds = ["split" if "conv" in has else "step" if group in has else "transition" for _, has in sorted(parts.items())]
    levels, steps, splits = 0, 0, []
    for kind, run in itertools.groupby(kinds):
        levels += kind == "transition"
        steps = max(steps, len(list(run))) if kind == "step" else steps
        splits += [levels] if kind == "split" else []
    return levels, steps, tuple(splits)
