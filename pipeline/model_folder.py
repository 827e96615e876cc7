"""A model folder: weights.safetensors and config.json, all that sampling, auditing and shipping need."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from models.flow.caps import Caps
from models.flow.memory_saving import save_memory
from models.flow.transforms import TRANSFORMS
from models.restoration.flow import RestorationFlow
from pipeline.errors import CheckpointError, nearest
from pipeline.files import read_json, write_bytes, write_json
from pipeline.kinds import KINDS, Kind

_WEIGHTS, _CONFIG, _FORMAT = "weights.safetensors", "config.json", 1
ENCODER = "_encoder"  # behind the kind of an encoder alone


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What it takes to build a network anew; see docs/architecture.md for the file."""

    kind: str  # a key of pipeline.kinds.KINDS, or one with "_encoder" behind it
    task: str
    variant: str
    profile: str
    scale: int
    network: dict[str, Any]
    transform: dict[str, Any]  # {"name": a key of TRANSFORMS, "options": {...}}
    caps: dict[str, float] = dataclasses.field(default_factory=dict)  # fields of models.flow.caps.Caps
    temperature: float = 0.9  # to draw at when nobody says otherwise; 0.9 is SRFlow's
    run_key: str = ""
    step: int = 0
    seed: int | None = None  # of the training; None: imported


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

    Raises CheckpointError for a kind that does not exist, ValueError for a mode that does not.
    """
    name = config.kind.removesuffix(ENCODER)
    if name not in KINDS:
        raise CheckpointError(f"model kind '{config.kind}' does not exist; {nearest(config.kind, KINDS)}")
    if config.kind.endswith(ENCODER):
        return KINDS[name].encoder(config.network, config.scale)
    transform = TRANSFORMS[config.transform["name"]](**config.transform["options"])
    network = KINDS[name].network(config.network, config.scale, transform=transform, caps=Caps(**config.caps))
    save_memory(network, memory)
    return network


def save_model(folder: Path, network: nn.Module, config: ModelConfig) -> Path:
    """Write ``network`` and its configuration to ``folder``; return it."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_bytes(folder / _WEIGHTS, safetensors.torch.save(tensors, metadata=_identity(config)))
    write_json(folder / _CONFIG, {"format": _FORMAT, **dataclasses.asdict(config)})
    return folder


def read_config(folder: Path) -> ModelConfig:
    """Return the configuration of a model folder. Raises CheckpointError if it is none."""
    try:
        content = read_json(folder / _CONFIG)
        if content.pop("format") != _FORMAT:
            raise CheckpointError(f"{folder / _CONFIG} is of another format than {_FORMAT}; train or import it anew")
        return ModelConfig(**content)
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is no model folder ({_CONFIG} is missing)") from None
    except (ValueError, TypeError, KeyError, AttributeError, UnicodeDecodeError):
        raise CheckpointError(f"{folder / _CONFIG} cannot be read as a model's configuration") from None


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
    network = build(config)
    try:
        tensors = safetensors.torch.load_file(folder / _WEIGHTS, device=str(device))
    except FileNotFoundError:
        raise CheckpointError(f"{folder / _WEIGHTS} is missing; train or import the model anew") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder / _WEIGHTS} cannot be read ({error}); train or import the model anew") from None
    _check_identity(folder, config)
    _check_weights(folder, network.state_dict(), tensors)
    network.load_state_dict(tensors)
    return network.to(device).eval()


def _identity(config: ModelConfig) -> dict[str, str]:
    """Return what weights of equal shapes can still differ in; it travels inside of the weights' file."""
    described = {"kind": config.kind, "transform": config.transform, "caps": config.caps}
    return {"steadyflow": json.dumps(described, sort_keys=True)}


def _check_identity(folder: Path, config: ModelConfig) -> None:
    with safetensors.safe_open(folder / _WEIGHTS, framework="pt") as file:
        metadata = file.metadata() or {}
    if "steadyflow" in metadata and metadata != _identity(config):
        raise CheckpointError(
            f"{folder / _WEIGHTS} was trained as {metadata['steadyflow']}, but {_CONFIG} beside it says "
            f"{_identity(config)['steadyflow']}; put the two files of one model together"
        )


def _check_weights(folder: Path, wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> None:
    missing, unknown = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    shapes = [name for name in wanted if name in found and wanted[name].shape != found[name].shape]
    faults = []
    if missing:
        faults.append(f"{len(missing)} tensors are missing (such as {missing[0]})")
    if unknown:
        faults.append(f"{len(unknown)} are unknown (such as {unknown[0]})")
    if shapes:
        name = shapes[0]
        faults.append(
            f"{len(shapes)} have another shape (such as {name}: {tuple(found[name].shape)} instead of "
            f"{tuple(wanted[name].shape)})"
        )
    if faults:
        raise CheckpointError(f"{folder / _WEIGHTS} is of another network than {_CONFIG} says: {'; '.join(faults)}")
