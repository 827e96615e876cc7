"""What a network is built from, and the one check of a config.json that somebody else may have written."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import pydantic

from pipeline.errors import brief, printable

ENCODER = "_encoder"  # behind the kind of an encoder alone
_MOST_FAULTS = 4  # in one line
_MOST_STEPS = 512  # of all levels; the papers' largest network has 80


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
    shield: dict[str, Any] | None = None  # how it was calibrated (docs/shield.md); None: there is none
    temperature: float = 0.9  # to draw at when nobody says otherwise; 0.9 is SRFlow's
    run_key: str = ""
    step: int = 0
    seed: int | None = None  # of the training; None: imported
    # of the file beside it; empty: written before there was one. Two folders of one network need not have it alike.
    weights_sha256: str = dataclasses.field(default="", compare=False)


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


_Text = Annotated[str, pydantic.Field(max_length=200)]
_Width = Annotated[int, pydantic.Field(ge=1, le=4096)]
_Depth = Annotated[int, pydantic.Field(ge=1, le=256)]
_Indices = Annotated[list[Annotated[int, pydantic.Field(ge=0, le=256)]], pydantic.Field(max_length=64)]
_Number = bool | Annotated[float, pydantic.Field(allow_inf_nan=False)]


class _Encoder(_Strict):
    channels: _Width
    blocks: _Depth
    growth: _Width
    taps: _Indices


class _Network(_Strict):
    """Fields of the flows' constructors; which of them a kind takes is its constructor's to say."""

    encoder: _Encoder
    levels: Annotated[int, pydantic.Field(ge=1, le=8)] = 1
    steps: _Depth
    hidden: _Width
    noise_steps: _Indices = []
    permutation: _Text
    published: bool = False
    residual: bool = True

    @pydantic.model_validator(mode="after")
    def _steps_are_few(self) -> _Network:
        if self.levels * self.steps > _MOST_STEPS:
            raise ValueError(f"{self.levels} levels of {self.steps} steps are more than {_MOST_STEPS} steps")
        return self


class _Transform(_Strict):
    name: _Text
    options: dict[_Text, _Number]


class _Tails(_Strict):
    slack: Annotated[float, pydantic.Field(ge=0.0, le=10.0, allow_inf_nan=False)]
    slope: Annotated[float, pydantic.Field(ge=1e-3, le=1.0, allow_inf_nan=False)]


class _Shield(_Strict):
    margin: Annotated[float, pydantic.Field(ge=0.0, le=10.0)]
    tails: _Tails | None = None  # none in shields of earlier versions
    quantile: Annotated[float, pydantic.Field(ge=0.0, lt=0.5)]
    agreement: Annotated[float, pydantic.Field(allow_inf_nan=False)] | None  # dB
    bound: Annotated[float, pydantic.Field(ge=0.0, allow_inf_nan=False)] | None
    good_draw: Annotated[float, pydantic.Field(ge=0.0, allow_inf_nan=False)] | None = None  # not in earlier ones
    crops: Annotated[int, pydantic.Field(ge=1)]
    crops_sha256: Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")]


class _File(_Strict):
    kind: _Text
    task: _Text
    variant: _Text
    profile: _Text
    scale: Annotated[int, pydantic.Field(ge=1, le=64)]
    caps: dict[_Text, Annotated[float, pydantic.Field(ge=0.0)]] = {}
    temperature: Annotated[float, pydantic.Field(ge=0.0, allow_inf_nan=False)] = 0.9
    run_key: _Text = ""
    step: Annotated[int, pydantic.Field(ge=0)] = 0
    seed: int | None = None
    weights_sha256: Annotated[str, pydantic.Field(pattern="^([0-9a-f]{64})?$")] = ""


class _FlowFile(_File):
    network: _Network
    transform: _Transform
    shield: _Shield | None = None


class _EncoderFile(_File):
    network: _Encoder
    transform: dict[str, Any] = pydantic.Field(max_length=0)
    shield: None = None


def parse_config(content: Any) -> ModelConfig:
    """Return the configuration that the content of a config.json says.

    Raises ValueError, in one line, for missing or unknown fields, other types, and sizes that no network of ours has.
    """
    if not isinstance(content, dict):
        raise ValueError(f"it holds {brief(content)} and no fields")
    alone = str(content.get("kind", "")).endswith(ENCODER)
    try:
        (_EncoderFile if alone else _FlowFile).model_validate(content)
    except pydantic.ValidationError as error:
        raise ValueError(_explain(error)) from None
    return ModelConfig(**content)


def _explain(error: pydantic.ValidationError) -> str:
    lines = []
    faults = error.errors(include_url=False)
    for fault in faults[:_MOST_FAULTS]:
        where = ".".join(printable(str(part)[:70]) for part in fault["loc"]) or "it"
        what = {"missing": "is missing", "extra_forbidden": "is unknown"}.get(fault["type"])
        lines.append(f"{where} {what}" if what else f"{where}: {fault['msg'].lower()} (got {brief(fault['input'])})")
    more = [f"and {len(faults) - _MOST_FAULTS} more faults"] if len(faults) > _MOST_FAULTS else []
    return "; ".join([*lines, *more])
