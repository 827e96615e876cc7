"""params.yaml as typed, strict objects: an unknown key is an error that names the nearest valid one.

Layout: ``tasks`` and ``variants`` say what is compared; ``profiles.<profile>.<task>`` holds sizes and
schedules; ``datasets`` says where pictures are; ``runtime`` holds what changes no result.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pydantic
import pydantic_core

from pipeline.errors import ConfigError, brief, nearest
from pipeline.layout import STUDIES

PARAMS_FILE = "params.yaml"


SHIELDED = "_shielded"  # behind a variant's name: the variant with a shield around it
_ENCODER = "encoder"  # a folder of our own beside those of variants
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
NAMES_RULE = "a name has letters of a to z, digits, _ and -, at most 64, and no - in front"


def _checked_name(name: str) -> str:
    # names become folders, keys of DVC and words of the shell commands in dvc.yaml
    if not _NAME.fullmatch(name):
        raise pydantic_core.PydanticCustomError("name", NAMES_RULE)
    return name


Name = Annotated[str, pydantic.AfterValidator(_checked_name)]
# Temperatures and the like: YAML knows .nan and .inf, which compare in strange ways and draw nothing.
_Amount = Annotated[pydantic.NonNegativeFloat, pydantic.Field(allow_inf_nan=False)]
_Share = Annotated[float, pydantic.Field(ge=0.0, le=1.0)]
_Decay = Annotated[float, pydantic.Field(ge=0.0, lt=1.0)]
_Positive = Annotated[pydantic.PositiveFloat, pydantic.Field(allow_inf_nan=False)]
_Text = Annotated[str, pydantic.Field(coerce_numbers_to_str=True)]  # YAML reads 0.1 as a number


class Strict(pydantic.BaseModel):
    """Settings that never change once read; a key that does not exist is an error."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class RuntimeConfig(Strict):
    """Knobs that change how fast and how talkative a run is, never what it computes."""

    workers: Literal["auto"] | pydantic.NonNegativeInt = "auto"  # auto: one per GPU, else 0 = in this process
    threads: Literal["auto"] | pydantic.PositiveInt = "auto"
    device: str = "auto"
    log_every: pydantic.PositiveInt = 10  # steps
    checkpoint_seconds: _Amount = 30.0
    # of several workers: how often they are started again after some died, and for how long they wait for a silent one
    retries: pydantic.NonNegativeInt = 3
    hang_seconds: _Positive = 1800.0
    # how many trials of a study at a time; auto: one per GPU, else one per core
    trials: Literal["auto"] | pydantic.PositiveInt = "auto"
    # a training that would take longer, by the speed of its first steps, is saved and ended
    patience_days: _Positive = 30.0
    tracking_uri: str = "auto"  # auto: MLFLOW_TRACKING_URI, else sqlite beside dvc.yaml


class DatasetConfig(Strict):
    """Where the pictures of one data set are: ``demo``, or a folder that the user owns."""

    source: str = "demo"
    allow_partial: bool = False  # go on without what a complete source would have
    options: dict[str, _Text] = {}  # the data set's own (docs/data.md), such as which published split


class Task(Strict):
    """What is restored: kind of degradation, data set, scale (low light has none).

    ``like`` names a task whose sizes and schedules it takes in profiles that have none of its own; it stands in no
    resolved settings, since they have those sizes themselves.
    """

    kind: str  # a key of pipeline.kinds.KINDS
    dataset: Name
    scale: pydantic.PositiveInt = 1
    like: str | None = pydantic.Field(default=None, exclude=True)


class VariantConfig(Strict):
    """The elementwise transform that every conditional map of the flow uses, its numbers, and caps around it."""

    transform: str
    options: dict[str, float] = {}
    caps: dict[str, float] = {}  # fields of models.flow.caps.Caps; none: the published layers


class ShieldConfig(Strict):
    """A shield around a trained variant (docs/shield.md): ``quantile``, or what it may cost draws in dB."""

    quantile: Annotated[float, pydantic.Field(ge=0.0, lt=0.5)] | None = None
    budget: _Positive | None = None

    @pydantic.model_validator(mode="after")
    def _one_of_both(self) -> ShieldConfig:
        if (self.quantile is None) == (self.budget is None):
            raise ValueError("a shield has either a quantile or a budget")
        return self


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
    """L1 training of the encoder: with its own upsampling head, or by the colour map."""

    steps: pydantic.NonNegativeInt
    batch: pydantic.PositiveInt
    learning_rate: _Positive
    ema_decay: _Decay  # 0: no averaging
    restoration: _Amount = 0.0  # low light: weight of what throw-away heads restore from the features


class RegularizerConfig(Strict):
    """A penalty that is added to the flow's loss, and its options."""

    name: str  # a key of pipeline.training.regularizers.REGULARIZERS
    options: dict[str, bool | int | float | str] = {}


class StartConfig(Strict):
    """What of a fresh flow is solved for, beside its ActNorm layers (pipeline/training/closed_form.py)."""

    crops: pydantic.PositiveInt  # over all workers
    ridge: _Positive | None = None  # weight of the penalty on the nets' last convolutions; None: they start at zero
    whitening: bool = False  # of learned 1x1 convolutions; else they start orthogonal


class RecoveryConfig(Strict):
    """When a training goes back to its last good state, and how it goes on (docs/training.md)."""

    nonfinite_steps: pydantic.PositiveInt  # in a row
    validations: pydantic.PositiveInt  # in a row whose likelihood is far below the best
    rate: _Share  # what the learning rate is multiplied by at each return
    limit: pydantic.PositiveInt  # returns; after them the training goes on as it is


class TrainingConfig(Strict):
    """Maximum-likelihood training of the flow."""

    steps: pydantic.PositiveInt
    batch: pydantic.PositiveInt  # over all workers
    learning_rate: _Positive
    betas: tuple[_Decay, _Decay]
    precision: Literal["float32", "bfloat16"] = "float32"  # of the nets; the flow itself stays in float32
    milestones: list[_Share]  # fractions of the steps at which the learning rate is halved
    noise_std: _Amount = 0.0  # super-resolution: sigma ~ U(0, noise_std) of the noise conditioning
    ratio_probability: _Share = 0.0  # low light: LLFlow's train_gt_ratio
    warmup: pydantic.NonNegativeInt = 0  # steps over which the learning rate rises from 0
    clip_norm: _Positive | None  # None: no clipping
    clip_spikes: _Positive | None = None  # a parameter's gradient is at most so many times as long as usual
    ema_decay: _Decay  # 0: no averaging
    nonfinite_limit: pydantic.NonNegativeInt  # skipped steps after which the run ends with an error
    recovery: RecoveryConfig | None = None  # None: it never goes back
    validation_every: pydantic.PositiveInt
    memory: Literal["plain", "checkpoint", "reversible"] = "plain"  # how gradients are computed (docs/memory.md)
    # as SRFlow's options ask with train_RRDB for the first half, while its code trains the encoder from the first step
    freeze_encoder: bool = False  # True: it stays as pretraining left it
    regularizer: RegularizerConfig | None = None
    start: StartConfig | None = None  # None: ActNorm alone is set, from the first batch


class SamplingConfig(Strict):
    """How held-out pictures are restored."""

    draws: pydantic.PositiveInt
    temperature: _Amount
    quantization: Literal["floor", "round"]


class StabilityConfig(Strict):
    """How much of the audit is run."""

    pictures: pydantic.PositiveInt
    draws: pydantic.PositiveInt
    temperature: _Amount
    stress_size: pydantic.PositiveInt  # side of a stress input, LR pixels
    # what is run, of pipeline.stability.analyses.ANALYSES, and its options
    analyses: dict[str, dict[str, bool | int | float | str]] = pydantic.Field(min_length=1)


class TaskProfile(Strict):
    """All sizes and schedules of one task in one profile."""

    data: DataConfig
    network: NetworkConfig
    pretraining: PretrainingConfig
    training: TrainingConfig
    sampling: SamplingConfig
    stability: StabilityConfig

    @pydantic.model_validator(mode="after")
    def _a_frozen_encoder_was_pretrained(self) -> TaskProfile:
        if self.training.freeze_encoder and not self.pretraining.steps:
            raise ValueError(
                "training.freeze_encoder needs an encoder that was pretrained, but pretraining.steps is 0; "
                "pretrain it, or leave freeze_encoder out"
            )
        return self


class SearchConfig(Strict):
    """What a search tries, and how it judges what came out.

    ``base``: values that all trials have where they differ from the profile's, by place. ``grids``: of each, every
    combination of its values is a trial. Places that change together are one key, separated by commas, and each of
    its values is a list. ``metrics``: numbers that trials find, the better direction beside each; quality first, then
    stability. The winner is the most stable one among those whose quality is ``within`` so much of the best.
    ``scheduler`` asha: of the trials that have come as far, only the best 1 / ``reduction`` by quality go on
    (successive halving), the first time after ``grace`` steps.
    """

    base: dict[str, Any] = {}
    grids: list[
        Annotated[
            dict[str, Annotated[list[Any], pydantic.Field(min_length=1)]],
            pydantic.Field(min_length=1),
        ]
    ] = pydantic.Field(min_length=1)
    metrics: dict[str, Literal["min", "max"]] = pydantic.Field(min_length=2)
    within: _Amount
    scheduler: Literal["grid", "asha"] = "grid"
    grace: pydantic.PositiveInt = 1  # steps
    reduction: Annotated[int, pydantic.Field(ge=2)] = 3


class StudySearch(SearchConfig):
    """A search over the settings of a study's trainings; places are their fields."""

    study: Name


class FlowSearch(SearchConfig):
    """A search over the flow of a task; places are those of an Experiment, such as settings.training.noise_std."""

    task: Name
    variant: Name
    seed: Annotated[int, pydantic.Field(strict=True, ge=0)]


class Searches(Strict):
    """All searches, by name; what they are over decides which stage runs them."""

    studies: dict[Name, StudySearch] = {}
    flows: dict[Name, FlowSearch] = {}

    @pydantic.model_validator(mode="after")
    def _names_are_distinct(self) -> Searches:
        if both := set(self.studies) & set(self.flows):
            raise ValueError(f"{sorted(both)[0]} is both a search over a study and one over flows; rename one")
        return self


class Params(Strict):
    """The whole of params.yaml."""

    profile: Name
    # each seed repeats all that is drawn at random; with several, tables show mean and spread
    seeds: list[Annotated[int, pydantic.Field(strict=True, ge=0)]] = pydantic.Field(min_length=1)
    tasks: dict[Name, Task] = pydantic.Field(min_length=1)
    variants: dict[Name, VariantConfig] = pydantic.Field(min_length=1)
    shields: dict[Name, ShieldConfig] = {}  # by the variant that each is around
    datasets: dict[Name, DatasetConfig]
    runtime: RuntimeConfig = RuntimeConfig()
    profiles: dict[Name, dict[Name, TaskProfile]]
    # profile -> study, a key of pipeline.studies.catalogue.STUDIES -> its options, where they differ from its defaults
    studies: dict[Name, dict[str, dict[str, bool | int | float | str]]] = {}
    searches: Searches = Searches()

    @pydantic.model_validator(mode="after")
    def _names_and_seeds_are_distinct(self) -> Params:
        if _ENCODER in self.variants:
            raise ValueError(f"no variant can be called {_ENCODER}: the encoder's own folder has that name")
        if STUDIES in self.tasks:
            raise ValueError(f"no task can be called {STUDIES}: the studies' folder has that name")
        for name in self.shields:
            if name not in self.variants:
                raise ValueError(f"shields.{name}: no variant is called {name}; {nearest(name, self.variants)}")
            if name + SHIELDED in self.variants:
                raise ValueError(f"shields.{name} makes {name + SHIELDED}, but a variant has that name; rename one")
            _checked_name(name + SHIELDED)
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds has an entry twice")
        return self

    def task(self, name: str) -> Task:
        """Return the task called ``name``; ConfigError names the nearest one."""
        return _look_up(self.tasks, name, "task")

    @property
    def compared(self) -> dict[str, VariantConfig]:
        """Return all that has a model of its own, by name: the variants, and behind them the shielded ones."""
        return {**self.variants, **{name + SHIELDED: self.variants[name] for name in self.shields}}

    def variant(self, name: str) -> VariantConfig:
        """Return the variant called ``name``, shielded or not; ConfigError names the nearest one."""
        return _look_up(self.compared, name, "variant")

    def shield(self, name: str) -> ShieldConfig | None:
        """Return the shield of the variant called ``name``; None for one that is trained."""
        return None if name in self.variants else self.shields.get(name.removesuffix(SHIELDED))

    def seed(self, number: int) -> int:
        """Return ``number`` if it is one of the seeds; ConfigError otherwise."""
        if number not in self.seeds:
            raise ConfigError(f"{PARAMS_FILE}: seed {number} is none of seeds {self.seeds}; add it there")
        return number

    def settings(self, task: str) -> TaskProfile:
        """Return the sizes and schedules of ``task`` in the chosen profile, or of the task that it is like."""
        sizes, chain = _look_up(self.profiles, self.profile, "profile"), [task]
        while chain[-1] not in sizes and chain[-1] in self.tasks and (like := self.tasks[chain[-1]].like):
            if like in chain:
                raise ConfigError(
                    f"{PARAMS_FILE}: tasks.{task}.like goes in a circle ({' -> '.join([*chain, like])}); "
                    f"{nearest(task, sizes)}"
                )
            chain.append(like)
        if chain[-1] not in sizes:
            why = f"tasks.{chain[-2]}.like: " if chain[1:] else "say like: NAME in the task, or give sizes; "
            raise ConfigError(
                f"{PARAMS_FILE}: profiles.{self.profile} has no sizes for task {brief(chain[-1])}; "
                f"{why}{nearest(chain[-1], sizes)}"
            )
        return sizes[chain[-1]]

    @property
    def studies_of_profile(self) -> dict[str, dict[str, bool | int | float | str]]:
        """Return the studies of the chosen profile with their options."""
        return self.studies.get(self.profile, {})

    def dataset(self, task: str) -> DatasetConfig:
        """Return where the pictures of ``task`` are."""
        return _look_up(self.datasets, self.task(task).dataset, "data set")


def _look_up(table: dict[str, Any], name: str, what: str) -> Any:
    if name not in table:
        raise ConfigError(f"{PARAMS_FILE}: unknown {what} {brief(name)}; {nearest(name, table)}")
    return table[name]
