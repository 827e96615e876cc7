"""Bad values of a flow with tails are told before them as well, and those are the flow's without them."""

import pytest
import torch
from report_tree import plain_photograph
from small_flow import small_flow

from models.restoration.tails import Tails
from pipeline.pictures.eight_bit import to_tensor
from pipeline.stability.analyses.bad_pixels import BadPixels
from pipeline.stability.stress import StressInput
from pipeline.stability.subject import Subject


def subject(flow, stress=(0.1, 0.9)):
    """Return a subject with one photograph and constant stress inputs of these values."""
    sides = [to_tensor(side) for side in flow.kind.sides_of(plain_photograph(), "cat")]
    inputs = [StressInput(f"flat_{i}", "flat", torch.full((1, 3, 8, 8), value)) for i, value in enumerate(stress)]
    return Subject(flow, [("cat", *flow.kind.pair(sides, flow.network.scale))], inputs, 1, 4.0, 10)


def test_before_tails_they_are_those_of_the_flow_without():
    flow = small_flow()
    plain = BadPixels().run(subject(flow)).numbers
    flow.network.tails = Tails(0.1, 0.1)
    found = BadPixels().run(subject(flow)).numbers
    for name in ("bad_share_stress", "largest_stress"):
        assert plain[f"{name}_before_tails"] == plain[name] > found[name]
        assert found[f"{name}_before_tails"] == pytest.approx(plain[name], rel=1e-4)


def test_without_stress_inputs_there_is_no_number_and_a_reason():
    found = BadPixels().run(subject(small_flow(), ()))
    assert found.numbers["bad_share_stress_before_tails"] is found.numbers["largest_stress_before_tails"] is None
    assert found.reasons["bad_share_stress_before_tails"] == found.reasons["largest_stress_before_tails"] != ""
