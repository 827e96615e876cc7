"""params.yaml as typed, strict objects: an unknown key is an error that names the nearest valid one.

Layout: ``tasks`` and ``variants`` say what is compared; ``profiles.<profile>.<task>`` holds sizes and
schedules; ``datasets`` says where pictures are; ``runtime`` holds what changes no result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml

from pipeline.errors import ConfigError, nearest

PARAMS_FILE = "params.yaml"


# Names become folders, where "encoder" is one of our own.
Name = Annotated[str, pydantic.StringConstraints(pattern=r"^[^./\\][^/\\]*$")]
_ENCODER = "encoder"


class Strict(pydantic.BaseModel):
    """Settings that never change once read; a key that does not exist is an error."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class RuntimeConfig(Strict):
    """Knobs that change how fast and how talkative a run is, never what it computes."""

    workers: Literal["auto"] | pydantic.NonNegativeInt = "auto"  # auto: one per GPU, else 0 = in this process
    threads: Literal["auto"] | pydantic.PositiveInt = "auto"
    device: str = "auto"
    log_every: pydantic.PositiveInt = 10  # steps
    checkpoint_seconds: pydantic.NonNegativeFloat = 30.0
    tracking_uri: str = "auto"  # auto: MLFLOW_TRACKING_URI, else sqlite beside dvc.yaml


class DatasetConfig(Strict):
    """Where the pictures of one data set are: ``demo``, or a folder that the user owns."""

    source: str = "demo"
    allow_partial: bool = False  # go on without what a complete source would have
    options: dict[str, str] = {}  # the data set's own (docs/data.md), such as which published split


class Task(Strict):
    """What is restored: kind of degradation, data set, scale (low light has none)."""

    kind: str  # a key of pipeline.kinds.KINDS
    dataset: str
    scale: pydantic.PositiveInt = 1


class VariantConfig(Strict):
    """The elementwise transform that every conditional map of the flow uses, its numbers, and caps around it."""

    transform: str
    options: dict[str, float] = {}
    caps: dict[str, float] = {}  # fields of models.flow.caps.Caps; none: the published layers


class DataConfig(Strict):
    """Crops for training and held-out crops for evaluation, in HR pixels."""

    crop: pydantic.PositiveInt
    flips: bool
    rotations: bool
    validation_crop: pydantic.PositiveInt
    validation_crops: pydantic.PositiveInt  # per picture
    validation_limit: pydantic.PositiveInt | None = None  # crops in all, spread evenly; None: every one


class EncoderConfig(Strict):
    """Size of the RRDB encoder (ESRGAN's nb, nf, gc; ``taps`` are 0-based block indices)."""

    channels: pydantic.PositiveInt
    blocks: pydantic.PositiveInt
    growth: pydantic.PositiveInt
    taps: list[pydantic.NonNegativeInt]


class NetworkConfig(Strict):
    """Size of the flow (levels L, steps K) and of its conditional nets."""

    encoder: EncoderConfig
    levels: pydantic.PositiveInt
    steps: pydantic.PositiveInt
    hidden: pydantic.PositiveInt
    noise_steps: list[pydantic.NonNegativeInt]  # per level: how many of its last steps see the noise map
    permutation: Literal["learned", "fixed_orthogonal"]


class PretrainingConfig(Strict):
    """L1 training of the encoder with its own upsampling head."""

    steps: pydantic.NonNegativeInt
    batch: pydantic.PositiveInt
    learning_rate: pydantic.PositiveFloat
    ema_decay: float = pydantic.Field(ge=0.0, lt=1.0)  # 0: no averaging


class TrainingConfig(Strict):
    """Maximum-likelihood training of the flow."""

    steps: pydantic.PositiveInt
    batch: pydantic.PositiveInt  # over all workers
    learning_rate: pydantic.PositiveFloat
    betas: tuple[float, float]
    precision: Literal["float32", "bfloat16"] = "float32"  # of the nets; the flow itself stays in float32
    milestones: list[float]  # fractions of the steps at which the learning rate is halved
    noise_std: pydantic.NonNegativeFloat = 0.0  # super-resolution: sigma ~ U(0, noise_std) of the noise conditioning
    ratio_probability: float = pydantic.Field(default=0.0, ge=0.0, le=1.0)  # low light: LLFlow's train_gt_ratio
    warmup: pydantic.NonNegativeInt = 0  # steps over which the learning rate rises from 0
    clip_norm: pydantic.PositiveFloat | None  # None: no clipping
    ema_decay: float = pydantic.Field(ge=0.0, lt=1.0)  # 0: no averaging
    nonfinite_limit: pydantic.NonNegativeInt  # skipped steps after which the run ends with an error
    validation_every: pydantic.PositiveInt


class SamplingConfig(Strict):
    """How held-out pictures are restored."""

    draws: pydantic.PositiveInt
    temperature: pydantic.NonNegativeFloat
    quantization: Literal["floor", "round"]


class StabilityConfig(Strict):
    """How much of the audit is run."""

    pictures: pydantic.PositiveInt
    draws: pydantic.PositiveInt
    temperature: pydantic.NonNegativeFloat
    stress_size: pydantic.PositiveInt  # side of a stress input, LR pixels


class TaskProfile(Strict):
    """All sizes and schedules of one task in one profile."""

    data: DataConfig
    network: NetworkConfig
    pretraining: PretrainingConfig
    training: TrainingConfig
    sampling: SamplingConfig
    stability: StabilityConfig


class Params(Strict):
    """The whole of params.yaml."""

    profile: str
    # each seed repeats all that is drawn at random; with several, tables show mean and spread
    seeds: list[Annotated[int, pydantic.Field(strict=True, ge=0)]] = pydantic.Field(min_length=1)
    tasks: dict[Name, Task]
    variants: dict[Name, VariantConfig]
    datasets: dict[str, DatasetConfig]
    runtime: RuntimeConfig = RuntimeConfig()
    profiles: dict[str, dict[str, TaskProfile]]

    @pydantic.model_validator(mode="after")
    def _names_and_seeds_are_distinct(self) -> Params:
        if _ENCODER in self.variants:
            raise ValueError(f"no variant can be called {_ENCODER}: the encoder's own folder has that name")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds has an entry twice")
        return self

    def task(self, name: str) -> Task:
        """Return the task called ``name``; ConfigError names the nearest one."""
        return _look_up(self.tasks, name, "task")

    def variant(self, name: str) -> VariantConfig:
        """Return the variant called ``name``; ConfigError names the nearest one."""
        return _look_up(self.variants, name, "variant")

    def seed(self, number: int) -> int:
        """Return ``number`` if it is one of the seeds; ConfigError otherwise."""
        if number not in self.seeds:
            raise ConfigError(f"{PARAMS_FILE}: seed {number} is none of seeds {self.seeds}; add it there")
        return number

    def settings(self, task: str) -> TaskProfile:
        """Return the sizes and schedules of ``task`` in the chosen profile."""
        return _look_up(_look_up(self.profiles, self.profile, "profile"), task, f"task in profiles.{self.profile}")

    def dataset(self, task: str) -> DatasetConfig:
        """Return where the pictures of ``task`` are."""
        return _look_up(self.datasets, self.task(task).dataset, "data set")


def _look_up(table: dict[str, Any], name: str, what: str) -> Any:
    if name not in table:
        raise ConfigError(f"{PARAMS_FILE}: unknown {what} '{name}'; {nearest(name, table)}")
    return table[name]


def load_params(path: Path | str = PARAMS_FILE) -> Params:
    """Return the checked content of ``path``; every fault is a one-line ConfigError."""
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing; run from the folder that holds it") from None
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{where}: not valid YAML ({error.problem})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML ({error})") from None
    try:
        params = Params.model_validate(raw)
    except pydantic.ValidationError as error:
        raise ConfigError(f"{path}: {_explain(error)}") from None
    _check_references(params, path)
    return params


def _check_references(params: Params, path: Path) -> None:
    """Names that point from one group into another must exist, also when no stage has asked yet."""
    from models.flow.caps import Caps
    from models.flow.transforms import TRANSFORMS  # torch: only when a file is really read
    from pipeline.kinds import KINDS

    for name, variant in params.variants.items():
        if variant.transform not in TRANSFORMS:
            raise ConfigError(
                f"{path}: variants.{name}.transform '{variant.transform}' does not exist; "
                f"{nearest(variant.transform, TRANSFORMS)}"
            )
        transform = TRANSFORMS[variant.transform]
        for group, given, allowed in (
            ("options", variant.options, transform.options()),
            ("caps", variant.caps, Caps.names()),
        ):
            for key in given:
                if key not in allowed:
                    raise ConfigError(f"{path}: variants.{name}.{group}.{key} does not exist; {nearest(key, allowed)}")
        try:
            transform(**variant.options)
            Caps(**variant.caps)
        except ValueError as error:
            raise ConfigError(f"{path}: variants.{name}: {error}") from None
    for name, task in params.tasks.items():
        if task.kind not in KINDS:
            raise ConfigError(f"{path}: tasks.{name}.kind '{task.kind}' does not exist; {nearest(task.kind, KINDS)}")
        if task.scale not in KINDS[task.kind].scales:
            scales = " or ".join(map(str, KINDS[task.kind].scales))
            raise ConfigError(f"{path}: tasks.{name}.scale is {task.scale}; {task.kind} has scale {scales}")
        params.settings(name)
        params.dataset(name)


def _explain(error: pydantic.ValidationError) -> str:
    """Return one line for all faults of a file, the nearest valid key beside each unknown one."""
    lines = []
    # unknown keys first: a misspelt key is usually why another one is missing
    for fault in sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden"):
        where = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            *parents, key = fault["loc"]
            lines.append(f"unknown key '{where}'; {nearest(str(key), _fields_at(parents))}")
        elif fault["type"] == "missing":
            lines.append(f"{where} is missing")
        else:
            lines.append(f"{where or 'file'}: {fault['msg'].lower()} (got {fault['input']!r})")
    return "; ".join(lines)


def _fields_at(parents: list[Any]) -> list[str]:
    """Return the valid keys of the object that ``parents`` leads to from the top of the file."""
    kind: Any = Params
    for part in parents:
        if _is_model(kind):
            kind = kind.model_fields[part].annotation
        else:  # dict[str, entry]: ``part`` is the name of an entry
            kind = kind.__args__[-1]
    return list(kind.model_fields) if _is_model(kind) else []


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, pydantic.BaseModel)
