"""How many draws are decoded at a time."""

import torch

from pipeline.inference.sampling import draws_at_once


def test_a_processor_takes_few_large_draws_and_many_small_ones():
    cpu = torch.device("cpu")
    counts = [draws_at_once(side * side, cpu) for side in (32, 160, 320, 4000)]
    assert counts == [78, 3, 1, 1]


def test_elsewhere_more_are_taken():
    assert draws_at_once(160 * 160, torch.device("cuda")) > draws_at_once(160 * 160, torch.device("cpu"))
