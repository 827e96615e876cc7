"""Sizes that no network, crop or machine has: a training stage says so in a line, before it reads anything."""

import pytest
from malformed import PARAMS

from pipeline.config import Params
from pipeline.errors import ConfigError
from pipeline.experiment import Experiment
from pipeline.training.jobs import Job
from pipeline.training.ray_train import launch

TASK = "df2k_x4"
OF_BOTH = [
    ("network.encoder.taps", [50]),
    ("network.encoder.blocks", 10**7),
    ("network.encoder.channels", 10**7),
    ("data.crop", 7),
    ("data.crop", 10**7),
]
OF_FLOWS = [
    ("network.levels", 100),
    ("network.levels", 7),
    ("network.noise_steps", [99]),
    ("network.noise_steps", [9, 9, 9, 9, 9]),
    ("network.steps", 10**7),
    ("network.hidden", 10**7),
    ("training.batch", 10**8),
]
CASES = [
    *((variant, place, value) for variant in ("affine", None) for place, value in OF_BOTH),
    *(("affine", place, value) for place, value in OF_FLOWS),
    (None, "pretraining.batch", 10**8),
]


@pytest.mark.parametrize(("variant", "place", "value"), CASES)
def test_impossible_sizes_are_told_before_anything_is_made(tmp_path, variant, place, value):
    chosen = Experiment.of(Params.model_validate(PARAMS), TASK, 10, variant).vary({f"settings.{place}": value})

    def work(job, report, device):
        raise AssertionError("it was begun")

    with pytest.raises(ConfigError) as refused:
        launch(Job(tmp_path, chosen), work)
    said = str(refused.value)
    assert said.startswith(f"params.yaml: profiles.smoke, sizes of task {TASK}: ")
    assert said.isprintable() and len(said) < 400
    assert list(tmp_path.iterdir()) == []
