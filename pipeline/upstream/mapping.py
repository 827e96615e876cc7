"""Which published tensor is which of ours: two tables of names, walked in the order of the published layers.

A published conditional net convolves cat(x, features); ours splits that convolution's weight along its input
channels into ``from_x`` and ``from_features``. All other tensors differ in name and in axes of length 1.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from models.flow.layers.invertible_conv import FixedOrthogonalConv1x1
from models.flow.place import Place
from models.restoration.published import noise_net_name
from pipeline.errors import CheckpointError
from pipeline.upstream.layout import COUPLINGS

Tensors = Sequence[Tensor]
_FLOW = "flowUpsamplerNet."


@dataclasses.dataclass(frozen=True)
class Form:
    """How one published tensor and ours become each other."""

    publish: Callable[[Tensors], Tensor]  # ours to the published one
    adopt: Callable[[Tensor, Tensors], list[Tensor]]  # the published one to ours, which have these shapes


AS_IS = Form(lambda ours: ours[0], lambda theirs, ours: [theirs])
CHANNELS = Form(lambda ours: ours[0][0], lambda theirs, ours: [theirs[None]])  # (C, 1, 1) and (1, C, 1, 1)
JOINED = Form(  # along the input channels
    lambda ours: torch.cat(list(ours), 1),
    lambda theirs, ours: list(theirs.split([part.shape[1] for part in ours], 1)),
)
MATRIX = Form(  # (C, C, 1, 1) and (C, C)
    lambda ours: ours[0][:, :, None, None].float(), lambda theirs, ours: [theirs[:, :, 0, 0]]
)
TRANSPOSED = Form(lambda ours: ours[0].T[:, :, None, None].float(), lambda theirs, ours: [theirs[:, :, 0, 0].T])


@dataclasses.dataclass(frozen=True)
class Entry:
    """One published tensor and those of ours that it holds."""

    theirs: str
    ours: tuple[str, ...]
    form: Form = AS_IS


# published name within RRDB: ours within the network
_SUPER_RESOLUTION = {
    "conv_first": "encoder.first",
    "trunk_conv": "encoder.trunk_conv",
    "HRconv": "encoder.hr_conv",
    "conv_last": "encoder.last",
}
_LOW_LIGHT = {
    "conv_first": "encoder.first",
    "conv_second": "encoder.second",
    "trunk_conv": "encoder.trunk_conv",
    "downconv1": "encoder.downs.0",
    "downconv2": "encoder.downs.1",
    "downconv3": "unread.down",
    "fine_tune_color_map.0": "encoder.to_color",
    "HRconv": "unread.hr_conv",
    "conv_last": "unread.last",
    "awb_para": "unread.white_balance",
}
# role of a layer of ours: the published nets of a step, where {net} is fAffine or fRQspline
_NETS = {"injector": "fFeatures", "noise coupling": "{net}_std", "coupling": "{net}"}

_CAUSES = (  # what a tensor's name tells about the network that it is of
    (".fCurve.", "trained with le_curve"),
    ("color_map_encoder.", "trained with encode_color_map"),
    ("A_rgb2yuv", "trained with to_yuv"),
    (".invconv.log_s", "trained with LU-decomposed 1x1 convolutions"),
)


def key_map(network: nn.Module, transform: str) -> list[Entry]:
    """Return every published tensor of ``network`` (built with ``published``), ``transform`` a key of TRANSFORMS."""
    return [*_encoder(network), *_flow(network, transform)]


def published_tensors(network: nn.Module, transform: str) -> dict[str, Tensor]:
    """Return the weights of ``network`` as its published code stores them."""
    state = network.state_dict()
    return {e.theirs: e.form.publish([state[name] for name in e.ours]) for e in key_map(network, transform)}


def adopt(path: Path, weights: Mapping[str, Tensor], network: nn.Module, transform: str) -> dict[str, Tensor]:
    """Return the state of ``network`` that published ``weights`` are; every tensor is used and none left over.

    ``network`` may be on the meta device. Raises CheckpointError that names what does not fit, and the likely cause.
    """
    _check(path, weights, published_tensors(network, transform))
    wanted = network.state_dict()
    state: dict[str, Tensor] = {}
    for entry in key_map(network, transform):
        parts = entry.form.adopt(weights[entry.theirs], [wanted[name] for name in entry.ours])
        for name, part in zip(entry.ours, parts, strict=True):
            own = part.to(wanted[name].dtype, copy=True).contiguous()
            if name in state and not torch.equal(state[name], own):
                raise CheckpointError(
                    f"{path}: '{entry.theirs}' is not the transpose that it must be; the file is damaged"
                )
            state[name] = own
    # published ActNorms of a trained network are recognized by their values; ours say it
    state |= {name: torch.tensor(True) for name in wanted if name.endswith(".initialized")}
    return state


def _encoder(network: nn.Module) -> Iterator[Entry]:
    low_light = hasattr(network.encoder, "to_color")
    convs = dict(_LOW_LIGHT if low_light else _SUPER_RESOLUTION)
    if not low_light:
        convs |= {f"upconv{i + 1}": f"encoder.ups.{i}" for i in range(len(network.encoder.ups))}  # type: ignore[union-attr,arg-type]
    for block in range(len(network.encoder.trunk)):  # type: ignore[union-attr,arg-type]
        for dense, conv in itertools.product(range(3), range(5)):
            theirs = f"RRDB_trunk.{block}.RDB{dense + 1}.conv{conv + 1}"
            convs[theirs] = f"encoder.trunk.{block}.blocks.{dense}.convs.{conv}"
    for theirs, ours in convs.items():
        yield from _conv("RRDB." + theirs, ours)
    yield from _conv(_FLOW + "f.0", "unread.f")


def _flow(network: nn.Module, transform: str) -> Iterator[Entry]:
    """The published list of layers has one number for a squeeze, a transition, a step, and a split."""
    group, net = next(names for names, name in COUPLINGS.items() if name == transform)
    names = [name for name, _ in network.named_modules()]
    placed = [(name, module) for name, module in network.named_modules() if getattr(module, "place", None)]
    for number, (_, members) in enumerate(itertools.groupby(placed, lambda entry: _numbered(entry[1].place))):
        theirs = f"{_FLOW}layers.{number}."
        for name, module in members:
            place: Place = module.place
            if place.role == "actnorm":
                yield from _actnorm(theirs + "actnorm", name)
            elif place.role == "1x1":
                yield from _permutation(theirs + "invconv", name, module)
            elif place.role in _NETS:
                has_x = place.role != "injector"
                yield from _net(f"{theirs}{group}.{_NETS[place.role].format(net=net)}", name + ".net", has_x)
            elif place.role == "split":
                yield from _zero_conv(theirs + "conv", name + ".prior")
        unread = f"unread.noise.{noise_net_name(place)}"
        if not place.transition and unread in names:
            yield from _net(f"{theirs}{group}.{net}_std", unread, True)


def _numbered(place: Place) -> Place:
    """Return what all layers that share one published number have in common."""
    return dataclasses.replace(place, role="") if place.step else place


def _conv(theirs: str, ours: str) -> Iterator[Entry]:
    for part in ("weight", "bias"):
        yield Entry(f"{theirs}.{part}", (f"{ours}.{part}",))


def _actnorm(theirs: str, ours: str) -> Iterator[Entry]:
    yield Entry(theirs + ".bias", (ours + ".bias",))
    yield Entry(theirs + ".logs", (ours + ".log_scale",))


def _permutation(theirs: str, ours: str, module: nn.Module) -> Iterator[Entry]:
    fixed = isinstance(module, FixedOrthogonalConv1x1)
    yield Entry(theirs + ".weight", (ours + ".weight",), MATRIX if fixed else AS_IS)
    if fixed:  # stored twice
        yield Entry(theirs + ".weight_transpose", (ours + ".weight",), TRANSPOSED)


def _zero_conv(theirs: str, ours: str) -> Iterator[Entry]:
    yield from _conv(theirs, ours + ".conv")
    yield Entry(theirs + ".logs", (ours + ".logs",), CHANNELS)


def _net(theirs: str, ours: str, sees_x: bool) -> Iterator[Entry]:
    features = f"{ours}.from_features.weight"
    if sees_x:
        yield Entry(theirs + ".0.weight", (f"{ours}.from_x.weight", features), JOINED)
    else:
        yield Entry(theirs + ".0.weight", (features,))
    yield from _actnorm(theirs + ".0.actnorm", ours + ".norm1")
    yield Entry(theirs + ".2.weight", (ours + ".mix.weight",))
    yield from _actnorm(theirs + ".2.actnorm", ours + ".norm2")
    yield from _zero_conv(theirs + ".4", ours + ".out")


def _check(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    missing, unknown = [name for name in wanted if name not in found], [name for name in found if name not in wanted]
    shapes = [name for name in wanted if name in found and wanted[name].shape != found[name].shape]
    faults = [
        f"{len(names)} {what} ({_some(names)})" for names, what in ((missing, "missing"), (unknown, "unknown")) if names
    ]
    if shapes:
        each = [f"{name} {tuple(found[name].shape)} instead of {tuple(wanted[name].shape)}" for name in shapes]
        faults.append(f"{len(shapes)} of another shape ({_some(each)})")
    if faults:
        raise CheckpointError(
            f"{path} does not fit the network that its sizes tell: {'; '.join(faults)}; {_cause(missing, unknown)}"
        )


def _some(names: Sequence[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")


def _cause(missing: Sequence[str], unknown: Sequence[str]) -> str:
    for part, cause in _CAUSES:
        if any(part in name for name in unknown):
            return f"likely {cause}, which steadyflow does not have"
    if missing and unknown:
        return "likely a network of changed code"
    if missing:
        where, _ = Counter(".".join(name.split(".")[:3]) for name in missing).most_common(1)[0]
        return f"likely partly saved or cut off, most of all at {where}"
    return "likely saved by changed code" if unknown else "likely options of another size"
