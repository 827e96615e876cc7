"""A model folder: weights.safetensors and config.json, all that sampling, auditing and shipping need."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from models.flow.caps import Caps
from models.flow.layers.invertible_conv import PERMUTATIONS
from models.flow.memory_saving import save_memory
from models.flow.transforms import TRANSFORMS
from models.restoration.flow import RestorationFlow
from models.restoration.shielding import add_shield
from models.restoration.tails import Tails
from pipeline.errors import CheckpointError, brief, nearest, printable
from pipeline.files import NotReadable, check_file, read_json, sha256_of, write_bytes, write_json
from pipeline.kinds import KINDS, Kind
from pipeline.model_config import ENCODER, ModelConfig, parse_config
from pipeline.shapes_alone import shapes_alone

WEIGHTS, CONFIG, _FORMAT = "weights.safetensors", "config.json", 1
_Shape = tuple[int, ...]
_LONGEST = 400  # characters of a fault
_MOST_BYTES = 2**20  # of a configuration


@dataclasses.dataclass(frozen=True)
class LoadedFlow:
    """A flow with what it was built from and its kind of restoration; in eval mode unless somebody trains it."""

    network: RestorationFlow
    config: ModelConfig
    kind: Kind

    @property
    def device(self) -> torch.device:
        """Return where the weights are."""
        return next(self.network.parameters()).device


@dataclasses.dataclass(frozen=True)
class LoadedEncoder:
    """An encoder alone, with what it was built from."""

    network: nn.Module
    config: ModelConfig


def build(config: ModelConfig, memory: str = "plain") -> Any:
    """Return a freshly initialized network that backpropagates in the mode ``memory`` (models/flow/memory_saving.py).

    Raises CheckpointError for a kind or a transform that does not exist, ValueError or TypeError for impossible sizes,
    options and modes.
    """
    name = config.kind.removesuffix(ENCODER)
    if name not in KINDS:
        raise CheckpointError(f"model kind {brief(config.kind)} does not exist; {nearest(config.kind, KINDS)}")
    if config.kind.endswith(ENCODER):
        return KINDS[name].encoder(config.network, config.scale)
    for what, chosen, table in (
        ("transform", config.transform["name"], TRANSFORMS),
        ("permutation", config.network["permutation"], PERMUTATIONS),
    ):
        if chosen not in table:
            raise CheckpointError(f"{what} {brief(chosen)} does not exist; {nearest(chosen, table)}")
    transform = TRANSFORMS[config.transform["name"]](**config.transform["options"])
    network = KINDS[name].network(config.network, config.scale, transform=transform, caps=Caps(**config.caps))
    if config.shield is not None:
        add_shield(network, config.shield["margin"])
        if (tails := config.shield.get("tails")) is not None:
            network.tails = Tails(**tails)
    save_memory(network, memory)
    return network


def save_model(folder: Path, network: nn.Module, config: ModelConfig) -> Path:
    """Write ``network`` and its configuration to ``folder``; return it."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    weights = safetensors.torch.save(tensors, metadata=_identity(config))
    write_bytes(folder / WEIGHTS, weights)
    content = dataclasses.asdict(config) | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    write_json(folder / CONFIG, {"format": _FORMAT, **content})
    return folder


def read_config(folder: Path) -> ModelConfig:
    """Return the configuration of a model folder. Raises CheckpointError if it is none."""
    path = folder / CONFIG
    try:
        content = read_json(path, _MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{folder} is no model folder ({CONFIG} is missing)") from None
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read as a model's configuration: {_line(error)}") from None
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise CheckpointError(f"{path} is of another format than {_FORMAT}; train or import it anew")
    try:
        return parse_config(content)
    except ValueError as error:
        raise CheckpointError(f"{path} tells no possible network: {_line(error)}") from None


def verify_model(folder: Path) -> int:
    """Compare all of a model folder with its configuration and its hash; return the bytes read.

    Raises CheckpointError as ``load_flow`` does.
    """
    config = read_config(folder)
    _check_shapes(folder, config)
    _check_hash(folder, config)
    return sum((folder / name).stat().st_size for name in (WEIGHTS, CONFIG))


def load_encoder(folder: Path, expect: Mapping[str, str] | None = None) -> LoadedEncoder:
    """Return the encoder of a model folder, on the CPU; errors as ``load_flow``, also for a flow."""
    config = _checked_config(folder, expect)
    if not config.kind.endswith(ENCODER):
        raise CheckpointError(f"{folder} holds a flow, but an encoder alone was asked for")
    return LoadedEncoder(_load(folder, config, "cpu"), config)


def load_flow(folder: Path, device: torch.device | str = "cpu", expect: Mapping[str, str] | None = None) -> LoadedFlow:
    """Return the flow of a model folder, in eval mode.

    ``expect``: values that its configuration must have, such as ``{"variant": "affine"}``. Raises
    CheckpointError for a damaged folder, an encoder alone, unexpected values, and weights of another network.
    """
    config = _checked_config(folder, expect)
    if config.kind.endswith(ENCODER):
        raise CheckpointError(f"{folder} holds an encoder alone, which restores nothing; give a flow's model folder")
    return LoadedFlow(_load(folder, config, device), config, KINDS[config.kind])


def _checked_config(folder: Path, expect: Mapping[str, str] | None) -> ModelConfig:
    config = read_config(folder)
    for field, value in (expect or {}).items():
        if getattr(config, field) != value:
            raise CheckpointError(f"{folder} holds {field} '{getattr(config, field)}', but '{value}' was asked for")
    return config


def _load(folder: Path, config: ModelConfig, device: torch.device | str) -> Any:
    _check_shapes(folder, config)  # before anything of a size that a file merely claims is made
    network = build(config)
    tensors = safetensors.torch.load_file(folder / WEIGHTS, device=str(device))
    _check_hash(folder, config)
    network.load_state_dict(tensors)
    return network.to(device).eval()


def _check_shapes(folder: Path, config: ModelConfig) -> None:
    """Compare names and shapes in the weights' file with those of the network that the configuration tells."""
    try:
        with shapes_alone():
            wanted = {name: tuple(tensor.shape) for name, tensor in build(config).state_dict().items()}
    except CheckpointError as error:
        raise CheckpointError(f"{folder / CONFIG}: {error}") from None
    except (ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{folder / CONFIG} tells no possible network: {_line(error)}") from None
    try:
        check_file(folder / WEIGHTS)
        with safetensors.safe_open(folder / WEIGHTS, framework="pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise CheckpointError(f"{folder / WEIGHTS} is missing; train or import the model anew") from None
    except (safetensors.SafetensorError, OSError, NotReadable) as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} cannot be read ({_line(error)}); train or import the model anew"
        ) from None
    _check_identity(folder, config, metadata)
    _check_weights(folder, wanted, found)


def _check_hash(folder: Path, config: ModelConfig) -> None:
    if config.weights_sha256 and sha256_of(folder / WEIGHTS) != config.weights_sha256:
        raise CheckpointError(
            f"{folder / WEIGHTS} is not the file that {CONFIG} was written with (SHA-256 differs): it is damaged; "
            "train or import the model anew, or take weights_sha256 out if you changed the weights yourself"
        )


def _line(error: Exception) -> str:
    return printable(str(error))[:_LONGEST]


def _identity(config: ModelConfig) -> dict[str, str]:
    """Return what weights of equal shapes can still differ in; it travels inside of the weights' file."""
    described = {"kind": config.kind, "transform": config.transform, "caps": config.caps}
    described |= {"shield": config.shield} if config.shield is not None else {}
    return {"steadyflow": json.dumps(described, sort_keys=True)}


def _check_identity(folder: Path, config: ModelConfig, metadata: Mapping[str, str]) -> None:
    if "steadyflow" in metadata and metadata != _identity(config):
        raise CheckpointError(
            f"{folder / WEIGHTS} was trained as {metadata['steadyflow'][:_LONGEST]}, but {CONFIG} beside it says "
            f"{_identity(config)['steadyflow'][:_LONGEST]}; put the two files of one model together"
        )


def _check_weights(folder: Path, wanted: Mapping[str, _Shape], found: Mapping[str, _Shape]) -> None:
    missing, unknown = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    shapes = [name for name in wanted if name in found and wanted[name] != found[name]]
    faults = []
    if missing:
        faults.append(f"{len(missing)} tensors are missing (such as {missing[0]})")
    if unknown:
        faults.append(f"{len(unknown)} are unknown (such as {brief(unknown[0])})")
    if shapes:
        name = shapes[0]
        faults.append(f"{len(shapes)} have another shape (such as {name}: {found[name]} instead of {wanted[name]})")
    if faults:
        raise CheckpointError(f"{folder / WEIGHTS} is of another network than {CONFIG} says: {'; '.join(faults)}")
