"""Every task's trainings on two workers: what DistributedDataParallel asks of objectives, and what it gives."""

from __future__ import annotations

import json

import pytest
import torch
from torch.multiprocessing import spawn
from two_processes import STARTED, WORLD, name_of, started, train_everything, trainings, ways

from pipeline.params import load_params

WAYS = {name_of(task, variant): ways(load_params())[task] for task, variant in trainings(load_params()) if variant}
EVERY = [name_of(task, variant) for task, variant in trainings(load_params())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return where both processes left what they found; a training that DistributedDataParallel refuses ends here."""
    folder = tmp_path_factory.mktemp("two")
    spawn(train_everything, (folder,), nprocs=WORLD)
    return folder


@pytest.fixture(scope="module")
def ranks(folder):
    """Return what each process found."""
    return [json.loads((folder / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(WORLD)]


@pytest.mark.parametrize("training", EVERY)
def test_whatever_is_to_be_trained_gets_a_gradient_on_every_rank(ranks, training):
    for found in ranks:
        assert found[training]["trained"] > 0
        assert found[training]["without_gradient"] == []


@pytest.mark.parametrize("training", EVERY)
def test_ranks_that_saw_different_pictures_end_with_equal_weights(ranks, training):
    first, second = (found[training] for found in ranks)
    assert first == second
    assert first["last"] != first["fresh"] and first["averaged"] != first["last"]


def test_flows_are_among_them_that_save_memory_and_that_are_regularized(ranks):
    assert {memory for memory, _ in WAYS.values()} == {"plain", "checkpoint", "reversible"}
    for training, (_, regularizer) in WAYS.items():
        for step, loss, nll, penalty in (row for found in ranks for row in found[training]["terms"]):
            assert (penalty is not None) == (regularizer is not None and step == 2)
            assert nll is None if regularizer is None else loss == pytest.approx(nll + (penalty or 0.0), rel=1e-5)
    assert any(memory == "reversible" and regularizer for memory, regularizer in WAYS.values())


def test_ranks_go_back_together_though_one_alone_was_broken(folder):
    first, second = (
        json.loads((folder / f"recovered-{rank}.json").read_text(encoding="utf-8")) for rank in range(WORLD)
    )
    assert first == second
    assert [(back["step"], back["to"]) for back in first["returns"]] == [(5, 2)]


@pytest.mark.parametrize("task", STARTED)
def test_ranks_start_alike_in_closed_form_from_the_pictures_of_all(folder, task):
    first, second = (torch.load(folder / f"{task}-{rank}.pt", weights_only=True) for rank in range(WORLD))
    alone = started(load_params().model_copy(update={"profile": "smoke"}), task, 0, 1)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
        torch.testing.assert_close(tensor, alone[name], atol=1e-3, rtol=1e-3, msg=name)
