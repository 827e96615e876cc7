"""Read what the sample stage wrote: samples.json and its pictures."""

from __future__ import annotations

from pathlib import Path

import pydantic

from pipeline.errors import DataError
from pipeline.metrics.contract import Aspect, DrawStatistics

SAMPLES_FILE = "samples.json"


class _Entry(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)


class Draw(_Entry):
    """One draw: its file and what was counted before clamping."""

    file: str
    nonfinite_values: pydantic.NonNegativeInt
    outside_values: pydantic.NonNegativeInt

    def statistics(self) -> DrawStatistics:
        """Return the counts alone."""
        return DrawStatistics(self.nonfinite_values, self.outside_values)


class SampledPicture(_Entry):
    """One held-out picture; files are relative to the samples folder.

    ``_gain``: what LLFlow's brightness gain makes of it; None where there is no such gain, or none is to be had.
    """

    id: str
    reference: str
    input: str
    baseline: str
    latent_mean: str
    draws_mean: str
    baseline_gain: str | None = None
    latent_mean_gain: str | None = None
    draws_mean_gain: str | None = None
    draws: list[Draw] = pydantic.Field(min_length=1)


class Samples(_Entry):
    """The content of samples.json that the metrics need."""

    kind: str
    aspect: Aspect
    task: str
    variant: str
    profile: str
    run_key: str
    scale: pydantic.PositiveInt
    pictures: list[SampledPicture] = pydantic.Field(min_length=1)


def load_samples(folder: Path, task: str, variant: str) -> Samples:
    """Return the content of ``folder/samples.json``.

    Raises DataError if it is missing, malformed, of another task or variant, or has unequal numbers of draws.
    """
    path = folder / SAMPLES_FILE
    try:
        samples = Samples.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path} is missing; run the sample stage of {task} {variant} first") from None
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"]) or "file"
        raise DataError(f"{path}: {where}: {fault['msg']}; run the sample stage again") from None
    if (samples.task, samples.variant) != (task, variant):
        raise DataError(
            f"{path} holds draws of {samples.task} {samples.variant}, not of {task} {variant}; "
            "run the sample stage again"
        )
    if len(counts := {len(picture.draws) for picture in samples.pictures}) > 1:
        raise DataError(f"{path}: pictures have {sorted(counts)} draws, all need as many; run the sample stage again")
    return samples
