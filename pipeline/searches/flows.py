"""Searches over the flow of a task: each trial is a training as every other, then an audit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic
import torch

from pipeline.config import FlowSearch, Params, RuntimeConfig
from pipeline.errors import ConfigError, DivergenceError, brief, nearest
from pipeline.experiment import Experiment
from pipeline.files import read_json
from pipeline.inference.held_out import held_out_crops
from pipeline.model_folder import load_flow
from pipeline.searches.space import Point, Space
from pipeline.searches.trial import DIVERGED, FINISHED, Result, SearchTrial, Work
from pipeline.shapes_alone import shapes_alone
from pipeline.stability.analyses import chosen
from pipeline.stability.audit import audit
from pipeline.stability.training_pictures import training_crops
from pipeline.tracking.identity import Identity, training_identity
from pipeline.training.jobs import Job, Report
from pipeline.training.run_key import run_key
from pipeline.training.train import flow_objective, train

_PLACES = ("settings.", "design.")
QUALITY = "validation_bits_per_dim"  # what trainings report, and their summary holds


class FlowSpace(Space):
    """Places are those that ``Experiment.vary`` takes."""

    stage = "search_flow"
    reported = QUALITY

    def __init__(self, name: str, config: FlowSearch, params: Params) -> None:
        super().__init__(name, config, params.profile)
        self.task = config.task
        for place, one, known in (
            ("task", config.task, params.tasks),
            ("variant", config.variant, params.variants),
            ("seed", config.seed, params.seeds),
        ):
            if one not in known:
                hint = nearest(str(one), map(str, known))
                raise ConfigError(f"{self.where}: {place} {brief(one)} does not exist; {hint}")
        self._plain = Experiment.of(params, config.task, config.seed, config.variant)

    @property
    def work(self) -> Work:
        """Return the training and the audit."""
        return train_and_audit

    def origin(self) -> dict[str, Any]:
        """Return the experiment that is varied."""
        return self._varied(self.config.base).resolved() | {"seed": self._plain.seed}

    def setting(self, point: Point) -> Experiment:
        """Return the experiment of a trial."""
        return self._checked(self._varied(point))

    def trial(self, root: Path, parent: Identity, runtime: RuntimeConfig, setting: Experiment) -> SearchTrial:
        """Return the trial; DataError if pictures or encoder are missing."""
        experiment = setting.model_copy(update={"runtime": runtime})
        job = Job(root, experiment, parent=parent)
        trained = job.key()
        audited = experiment.settings.stability.model_dump(mode="json")
        key = run_key(self.stage, {"trained": trained, "stability": audited}, [])
        identity = training_identity(experiment.task, str(experiment.variant), experiment.seed, trained, parent)
        values = {place: _value(experiment, place) for place in self.varied}
        return SearchTrial(root, key, identity, values, experiment, runtime)

    def metrics(self) -> Sequence[str]:
        """Return the likelihood, and the numbers of the audit's analyses."""
        analyses = chosen(self._varied(self.config.base).settings.stability.analyses)
        numbers = [
            f"{one.name}.{name.partition('<')[0]}{'*' * ('<' in name)}" for one in analyses for name in one.numbers
        ]
        return [QUALITY, *numbers]

    def entry(self, trial: SearchTrial) -> dict[str, Any]:
        """Return a variant, and what the search varied of sizes and schedules; ``base`` is the search's own."""
        experiment: Experiment = trial.setting
        assert experiment.design is not None
        sizes: dict[str, Any] = {}
        for place, value in trial.values.items():
            group, _, rest = place.partition(".")
            within = any(place.startswith(f"{other}.") for other in trial.values)  # that one's value has it
            if group == "settings" and not within:
                *above, last = rest.split(".")
                inner = sizes
                for part in above:
                    inner = inner.setdefault(part, {})
                inner[last] = value
        variant = {f"{self.name}_winner": experiment.design.model_dump(mode="json")}
        profiles = {"profiles": {self.profile: {experiment.task: sizes}}} if sizes else {}
        return {"variants": variant, **profiles}

    def _varied(self, changes: Mapping[str, Any]) -> Experiment:
        for place in changes:
            if not place.startswith(_PLACES):
                raise ConfigError(
                    f"{self.where}: {brief(place)} is no place of a flow; places begin with {' or '.join(_PLACES)}"
                )
        try:
            return self._plain.vary(dict(changes))
        except KeyError as error:
            raise ConfigError(
                f"{self.where}: there is no place {brief(error.args[0])}; places are such as "
                "settings.training.noise_std or design.options.lipschitz"
            ) from None
        except TypeError:
            raise ConfigError(f"{self.where}: a place leads through a value that holds no others") from None
        except pydantic.ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, fault["loc"]))
            raise ConfigError(f"{self.where}: {place}: {fault['msg'].lower()} (got {brief(fault['input'])})") from None

    def _checked(self, experiment: Experiment) -> Experiment:
        """Return ``experiment`` if its network can be built and its analyses exist."""
        try:
            with shapes_alone():
                flow_objective(experiment)
            chosen(experiment.settings.stability.analyses)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{self.where}: {error}") from None
        return experiment


def train_and_audit(trial: SearchTrial, report: Report, device: torch.device) -> Result:
    """Train the trial's flow as stage train does, audit it as stage stability does; the model is not kept."""
    experiment: Experiment = trial.setting
    out = trial.folder / "out"
    try:
        train(Job(trial.root, experiment, out, trial.identity.parent), report, device)
    except DivergenceError as error:
        return Result(DIVERGED, str(error))
    training = read_json(out / "training" / "summary.json")
    flow = load_flow(out / "model", device, {"task": experiment.task})
    limits = experiment.settings.stability
    crops = held_out_crops(trial.root, experiment, limit=limits.pictures)
    found = audit(flow, crops, out / "stability", limits, experiment.seed, training_crops(trial.root, experiment))
    shutil.rmtree(out / "model", ignore_errors=True)
    numbers = {
        f"{analysis}.{name}": value for analysis, values in found["analyses"].items() for name, value in values.items()
    }
    reasons = found["reasons"] | ({QUALITY: "not finite"} if training[QUALITY] is None else {})
    return Result(FINISHED, None, {QUALITY: training[QUALITY], **numbers}, reasons, training["minutes"])


def _value(experiment: Experiment, place: str) -> Any:
    """Return what is at a place; None where it has no such place, as options of a regularizer."""
    value: Any = experiment.model_dump(mode="json")
    for part in place.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
