"""What a training says of itself: a model that collapsed is not handed over without a word."""

import pytest
from torch import nn

from pipeline.files import read_json
from pipeline.model_folder import ModelConfig
from pipeline.training.loop import Outcome
from pipeline.training.outputs import summary_line, write_training

CONFIG = ModelConfig("super_resolution", "df2k_x4", "affine", "demo", 4, {}, {}, step=300)
BACK = {"step": 200, "to": 100, "why": "broken"}


def outcome(held_out, returns=()):
    row = {"step": 300.0, "loss": -9.0, "learning_rate": 1e-3, "gradient_norm": 1.0, "seconds": 60.0}
    validation = [{"step": 100.0 * place, "validation_nll": nll} for place, nll in enumerate(held_out, 1)]
    return Outcome(nn.Identity(), [row], validation, 2, 60.0, list(returns))


@pytest.mark.parametrize(("last", "collapsed"), [(-6.6, True), (-15.0, False)])
def test_the_summary_and_its_line_say_whether_the_model_collapsed(tmp_path, last, collapsed):
    found = write_training(tmp_path, outcome([-12.0, -15.75, last]), CONFIG, 7)
    assert found["collapsed"] is collapsed and read_json(tmp_path / "summary.json")["collapsed"] is collapsed
    assert ("COLLAPSED" in summary_line(tmp_path)) == collapsed
    assert summary_line(tmp_path).startswith(f"{last / 3:.3f} bits per dim") and "\n" not in summary_line(tmp_path)


@pytest.mark.parametrize(("returns", "said"), [([], ""), ([BACK], "went back once"), ([BACK] * 2, "went back 2 times")])
def test_they_say_how_often_the_training_went_back(tmp_path, returns, said):
    found = write_training(tmp_path, outcome([-12.0, -12.5], returns), CONFIG, 7)
    assert (found["returns"], found["went_back"]) == (len(returns), returns)
    assert said in summary_line(tmp_path) and ("went back" in summary_line(tmp_path)) == bool(returns)


@pytest.mark.parametrize("last", [float("nan"), float("inf")])
def test_a_training_that_ended_non_finite_is_written_and_told(tmp_path, last):
    found = write_training(tmp_path, outcome([-12.0, last]), CONFIG, 7)
    assert found["collapsed"] and found["validation_nll"] is found["validation_bits_per_dim"] is None
    assert read_json(tmp_path / "summary.json") == found
    assert summary_line(tmp_path).startswith("no finite bits per dim") and "COLLAPSED" in summary_line(tmp_path)
    assert (tmp_path / "validation.csv").read_text().splitlines()[-1] == "200,,"
