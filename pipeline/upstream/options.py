"""Read a published options file (.yml): what says how a network is built, and what ours cannot be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import CheckpointError, brief, nearest
from pipeline.files import NotReadable, read_text
from pipeline.yaml_text import YamlFault, parse_yaml

_FLOW = "network_G.flow."
_MOST_BYTES = 2**18  # published files have some 10 kB


@dataclasses.dataclass(frozen=True)
class Options:
    """What an options file says about the network; None: left open."""

    file: str = ""  # empty: none was given
    network: str | None = None
    scale: int | None = None
    residual: bool | None = None
    channels: int | None = None
    blocks: int | None = None
    levels: int | None = None
    steps: int | None = None
    taps: Sequence[int] | None = None
    noise_steps: Sequence[int] | None = None
    coupling: str | None = None
    eps: float | None = None
    hidden: int | None = None
    learned: bool | None = None
    splits: bool | None = None
    tree: Mapping[str, Any] = dataclasses.field(default_factory=dict)


# field: where it stands and what it must be
_PLACES: dict[str, tuple[str, type]] = {
    "network": ("network_G.which_model_G", str),
    "scale": ("scale", int),
    "residual": ("divide_freq", bool),
    "channels": ("network_G.nf", int),
    "blocks": ("network_G.nb", int),
    "levels": (_FLOW + "L", int),
    "steps": (_FLOW + "K", int),
    "taps": (_FLOW + "stackRRDB.blocks", list),
    "noise_steps": (_FLOW + "S", list),
    "coupling": (_FLOW + "coupling", str),
    "eps": (_FLOW + "CondAffineSeparatedAndCond.eps", float),
    "hidden": (_FLOW + "CondAffineSeparatedAndCond.hidden_channels", int),
    "learned": (_FLOW + "permutation_train", bool),
    "splits": (_FLOW + "split.enable", bool),
}

# Options of the published code with which it builds what ours is not, and the values that are ours.
_OURS: dict[str, tuple[Any, ...]] = {
    "network_G.in_nc": (3,),
    "network_G.out_nc": (3,),
    _FLOW + "additionalFlowNoAffine": (2,),
    _FLOW + "affine_reparam": (False,),
    _FLOW + "fea_up0": (True,),
    _FLOW + "flow_permutation": ("invconv",),
    _FLOW + "levelConditional": (),
    _FLOW + "norm": (),
    _FLOW + "split.conditional": (False,),
    _FLOW + "split.consume_ratio": (0.5,),
    _FLOW + "split.correct_splits": (False,),
    _FLOW + "split.logs_eps": (0,),
    _FLOW + "split.type": ("Split2d",),
    _FLOW + "stackRRDB.concat": (True,),
    _FLOW + "std_channels": (3,),
    _FLOW + "CondRQsplineSeparatedAndCond.left": (-0.5,),
    _FLOW + "CondRQsplineSeparatedAndCond.righ": (0.5,),  # robustNF's spelling; 'right' is never read
    _FLOW + "CondRQsplineSeparatedAndCond.bottom": (-0.5,),
    _FLOW + "CondRQsplineSeparatedAndCond.top": (0.5,),
    "avg_color_map": (False,),
    "concat_color_map": (False,),
    "concat_histeq": (True,),
    "cond_encoder": ("ConEncoder1",),
    "encode_color_map": (False,),
    "gray_map": (False,),
    "histeq_as_input": (False,),
    "le_curve": (False,),
    "sigmoid_output": (False,),
    "to_yuv": (False,),
    "datasets.train.log_low": (True,),
}


class _Loader(yaml.SafeLoader):
    """Safe YAML that also takes the ordered dictionaries which robustNF's training writes into config.yml."""


def _ordered(loader: yaml.SafeLoader, node: yaml.Node) -> dict[Any, Any]:
    arguments = loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else []
    return dict(arguments[0]) if arguments else {}


_Loader.add_constructor("tag:yaml.org,2002:python/object/apply:collections.OrderedDict", _ordered)


def read_options(path: Path | None, overrides: Sequence[str] = ()) -> Options:
    """Return what the file says, changed by ``overrides`` such as ``network_G.flow.K=8``; without a file: nothing.

    Raises CheckpointError for an unreadable file, a value of a wrong type, and what our networks cannot be.
    """
    where = str(path) if path else "--override"
    tree = _read(path) if path else {}
    for override in overrides:
        _apply(tree, override)
    found: dict[str, Any] = {}
    for field, (place, kind) in _PLACES.items():
        value = _look_up(tree, place)
        if value is not None:
            found[field] = _checked(where, place, value, kind)
    for place, ours in _OURS.items():
        value = _look_up(tree, place)
        if value is not None and value not in ours:
            allowed = f"must be {ours[0]!r}" if ours else "must be left out"
            raise CheckpointError(
                f"{where}: '{place}' is {brief(value)}, a network that steadyflow does not have; it {allowed}"
            )
    return Options(file=str(path) if path else "", tree=tree, **found)


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = parse_yaml(read_text(path, _MOST_BYTES), _Loader)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} does not exist; give the options file that the weights were trained with"
        ) from None
    except NotReadable as error:
        raise CheckpointError(f"{path} cannot be opened: {error}") from None
    except YamlFault as error:
        raise CheckpointError(error.at(path, "not a YAML file of options, ")) from None
    if not isinstance(tree, dict) or "network_G" not in tree:
        raise CheckpointError(f"{path} is no options file of a published network ('network_G' is missing)")
    return tree


def _apply(tree: dict[str, Any], override: str) -> None:
    place, equals, text = override.partition("=")
    known = [known for known, _ in _PLACES.values()]
    if not equals or place not in (*known, *_OURS):
        raise CheckpointError(f"--override '{override}' is not KEY=VALUE with a known key; {nearest(place, known)}")
    *parents, last = place.split(".")
    here = tree
    for parent in parents:
        child = here.setdefault(parent, {})
        if not isinstance(child, dict):
            raise CheckpointError(f"--override '{override}': '{parent}' holds {brief(child)} and no options")
        here = child
    try:
        here[last] = parse_yaml(text)
    except YamlFault:
        raise CheckpointError(f"--override '{override}': the value is not valid YAML") from None


def _look_up(tree: Mapping[str, Any], place: str) -> Any:
    here: Any = tree
    for part in place.split("."):
        here = here.get(part) if isinstance(here, Mapping) else None
    return here


def _checked(where: str, place: str, value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if not fits or (kind is list and not all(type(entry) is int for entry in value)):
        wanted = "a list of whole numbers" if kind is list else f"of type {kind.__name__}"
        raise CheckpointError(f"{where}: '{place}' is {brief(value)}, which must be {wanted}")
    return value
