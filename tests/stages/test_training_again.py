"""A training on two workers, with another seed, a second time, and without its tracking server, as a process."""

from __future__ import annotations

import json
import subprocess

from safetensors.torch import load_file
from smoke_project import TASK, command, curve, edit_params, run, succeed, weights
from tracking_store import all_runs


def test_two_workers_give_the_losses_of_one(project, trained):
    """Same global batch over two DDP workers through Ray: equal up to the order of float32 sums."""
    edit_params(project, lambda params: params["runtime"].update(workers=2, device="cpu"))
    succeed(project, "train")
    one, two = curve(trained), curve(project)
    assert len(one) == len(two) == 12
    assert max(abs(a - b) for a, b in zip(one, two, strict=True)) < 2e-3
    for name, tensor in weights(trained).items():
        assert (tensor.float() - weights(project)[name].float()).abs().max() < 5e-3, name


def test_a_finished_run_is_trained_anew_when_asked_again(project):
    succeed(project, "train")
    first, folder = weights(project), project / "artifacts" / TASK / "seed10" / "affine"
    assert not list(project.glob(".runs/*/checkpoint*"))  # so there is nothing to go on from
    (folder / "model" / "weights.safetensors").unlink()
    succeed(project, "train")
    assert all(bool((first[name] == tensor).all()) for name, tensor in weights(project).items())


def test_another_seed_is_another_run_beside_the_first(project, trained):
    for stage, variant in (("pretrain", None), ("train", "affine")):
        arguments = {"cwd": project, "capture_output": True, "text": True}
        refused = subprocess.run(command(stage, variant, seed=11), check=False, **arguments)
        assert refused.returncode == 2 and "seed 11 is none of seeds [10]" in refused.stderr
        edit_params(project, lambda params: params.update(seeds=[10, 11]))
        done = subprocess.run(command(stage, variant, seed=11), check=False, **arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        edit_params(project, lambda params: params.update(seeds=[10]))
    folder = project / "artifacts" / TASK / "seed11"
    assert not (project / "artifacts" / TASK / "seed10" / "affine").exists()
    assert json.loads((folder / "affine" / "model" / "config.json").read_text())["seed"] == 11
    other = load_file(folder / "affine" / "model" / "weights.safetensors")
    trunk = "encoder.first.weight"
    encoder = load_file(folder / "encoder" / "weights.safetensors")
    assert all(name in other for name in weights(trained)) and trunk in other, list(other)[:5]
    assert not bool((other[trunk] == weights(trained)[trunk]).any())
    assert (other[trunk] - encoder["first.weight"]).abs().max() < 0.05  # it started from its own seed's encoder


def test_a_dead_tracking_server_delays_logging_and_loses_nothing(project):
    edit_params(project, lambda params: params["runtime"].update(tracking_uri="http://127.0.0.1:9"))
    done = run(project, "train")
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("warning: ")]) == 1
    edit_params(project, lambda params: params["runtime"].update(tracking_uri="auto"))
    succeed(project, "sample")
    client, runs = all_runs(project)
    assert len(client.get_metric_history(runs[0].info.run_id, "train/nll")) == 12
