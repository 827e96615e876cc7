"""The training loop: it learns, resumes exactly, and counts what is not finite."""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import signal
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from models.flow.layers.actnorm import ActNorm, initializing
from pipeline import files
from pipeline.errors import CheckpointError, ConfigError, DivergenceError, Interrupted
from pipeline.model_folder import ModelConfig, save_model
from pipeline.objective import Objective
from pipeline.training import checkpoints
from pipeline.training.checkpoints import CheckpointStore
from pipeline.training.loop import Hooks, Plan, Start, fit
from pipeline.training.run_key import run_key
from pipeline.training.schedule import learning_rate_at
from pipeline.training.stopping import stop_requests

CPU = torch.device("cpu")
PLAN = Plan("toy", steps=20, learning_rate=0.05, milestones=(0.5, 0.75), ema_decay=0.9, log_every=1)


class Toy(Objective):
    """Fit a 1x1 convolution behind an ActNorm to a fixed map."""

    def __init__(self):
        super().__init__(nn.Sequential())
        self.network.norm = ActNorm(2)
        self.network.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x, y):
        return (self.network.conv(self.network.norm(x)[0]) - y).square().mean()


def toy():
    torch.manual_seed(0)
    return Toy()


def batches(start, stop, poison=()):
    for step in range(start, stop):
        x = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(step))
        yield (x * math.nan if step in poison else x), 2 * x.flip(1) + 1


def run(folder, plan=PLAN, poison=(), stop_at=None, start=None):
    asked = iter(range(plan.steps))
    hooks = Hooks(
        validate=lambda network: {"validation_nll": 0.0, "validation_bits_per_dim": 0.0},
        should_stop=lambda: stop_at is not None and next(asked) + 1 == stop_at,
    )
    return fit(toy(), plan, lambda a, b: batches(a, b, poison), CheckpointStore(folder), CPU, hooks, start)


def test_the_loss_falls(tmp_path):
    losses = [row["loss"] for row in run(tmp_path).history]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("stop_at", [1, 7, 19])
def test_an_interrupted_run_ends_with_the_same_weights_bit_for_bit(tmp_path, stop_at):
    whole = run(tmp_path / "whole")
    with pytest.raises(Interrupted, match=f"step {stop_at}"):
        run(tmp_path / "parts", stop_at=stop_at)
    resumed = run(tmp_path / "parts")
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]


def test_a_flow_is_set_once_from_the_batch_that_it_is_given(tmp_path):
    """And not again where the training goes on; without one, it is the first batch, by ActNorm alone."""
    taken = []

    @contextlib.contextmanager
    def setting(objective):
        taken.append("set")
        with initializing(objective):
            yield

    def first():
        taken.append("batch")
        return next(batches(7, 8))

    start = Start(first, setting)
    whole = run(tmp_path / "whole", start=start)
    with pytest.raises(Interrupted):
        run(tmp_path / "parts", stop_at=5, start=start)
    assert taken == 2 * ["batch", "set"]
    resumed = run(tmp_path / "parts", start=start)
    assert taken == 2 * ["batch", "set"]
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    plain = run(tmp_path / "plain").network.norm.bias
    assert not torch.equal(plain, whole.network.norm.bias)


def test_the_schedule_halves_at_the_milestones():
    rates = [learning_rate_at(step, 100, 1.0, (0.5, 0.75, 0.9, 0.95)) for step in (0, 49, 50, 74, 75, 90, 95, 99)]
    assert rates == [1, 1, 0.5, 0.5, 0.25, 0.125, 0.0625, 0.0625]


def test_the_schedule_decays_by_what_it_is_told():
    rates = [learning_rate_at(step, 10, 1.0, (0.3, 0.6), decay=0.1) for step in (2, 3, 6)]
    assert rates == pytest.approx([1, 0.1, 0.01])


def test_the_average_follows_the_weights(tmp_path):
    averaged = run(tmp_path / "a").network.state_dict()["conv.weight"]
    last = run(tmp_path / "b", Plan(**{**PLAN.__dict__, "ema_decay": 0.0})).network.state_dict()["conv.weight"]
    start = toy().network.conv.weight
    assert not torch.equal(averaged, last)
    assert (averaged - last).norm() < (start - last).norm()


def test_non_finite_steps_change_nothing_and_are_counted(tmp_path):
    plan = Plan(**{**PLAN.__dict__, "nonfinite_limit": 2})
    outcome = run(tmp_path, plan, poison={3, 8})
    assert outcome.skipped_steps == 2
    assert [row["skipped_steps"] for row in outcome.history][2:9] == [0, 1, 1, 1, 1, 1, 2]
    assert all(tensor.isfinite().all() for tensor in outcome.network.state_dict().values())


def test_too_many_non_finite_steps_end_the_run(tmp_path):
    with pytest.raises(DivergenceError, match="3 steps had a non-finite loss"):
        run(tmp_path, Plan(**{**PLAN.__dict__, "nonfinite_limit": 2}), poison={2, 4, 6, 8})


def test_a_training_beyond_patience_is_saved_and_says_how_long_it_would_take(tmp_path):
    plan = Plan(**{**PLAN.__dict__, "steps": 10**9, "patience_days": 0.001})
    with pytest.raises(ConfigError, match=r"999,999,980 steps that are left would take [\d,]+ days.* is saved"):
        run(tmp_path, plan)
    assert CheckpointStore(tmp_path).load(CPU)["step"] == 20


def test_a_training_within_patience_goes_on(tmp_path):
    plan = Plan(**{**PLAN.__dict__, "steps": 40, "patience_days": 1.0})
    assert len(run(tmp_path, plan).history) == 40


def test_a_damaged_checkpoint_falls_back_on_the_one_before(tmp_path, capsys):
    store = CheckpointStore(tmp_path)
    store.save({"step": 1})
    store.save({"step": 2})
    (tmp_path / "checkpoint.pt").write_bytes(b"half of it")
    assert store.load(CPU) == {"step": 1}
    assert "damaged" in capsys.readouterr().err
    (tmp_path / "checkpoint-previous.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="remove that folder"):
        store.load(CPU)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_a_flipped_bit_anywhere_falls_back_on_the_checkpoint_before(tmp_path, capsys, share):
    store = CheckpointStore(tmp_path)
    for step in (1, 2):
        store.save({"step": step, "weights": torch.arange(3000.0)})
    path = tmp_path / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.write_bytes(content)
    assert store.load(CPU)["step"] == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{path} is damaged" in said
    assert "trying the checkpoint before it" in said


@pytest.mark.parametrize("others", [[], ["checkpoint-previous.pt"]])
def test_of_damaged_checkpoints_alone_the_first_is_begun_anew(tmp_path, capsys, others):
    """Nothing more than one interval is lost by that; where there were two, it may be much: that is asked."""
    store = CheckpointStore(tmp_path)
    for step in range(1 + len(others)):
        store.save({"step": step})
    for name in ("checkpoint.pt", *others):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:-1])
    if others:
        with pytest.raises(CheckpointError, match=r"no checkpoint in .* can be read"):
            store.load(CPU)
    else:
        assert store.load(CPU) is None
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("is damaged (SHA-256 differs); there is none before it; beginning at the start")


def test_a_checkpoint_from_before_there_was_a_hash_is_read(tmp_path):
    torch.save({"step": 3}, tmp_path / "checkpoint.pt")
    assert CheckpointStore(tmp_path).load(CPU) == {"step": 3}


@pytest.mark.parametrize("state", [[1, 2], 7, "text"])
def test_a_checkpoint_that_holds_no_state_is_damage(tmp_path, state):
    store = CheckpointStore(tmp_path)
    store.save(state)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* can be read"):
        store.load(CPU)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"step": Harm()}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError):
        CheckpointStore(tmp_path).load(CPU)
    assert not (tmp_path / "harm").exists()


def test_a_failed_save_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    store = CheckpointStore(tmp_path)
    store.save({"step": 1})

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        store.save({"step": 2})
    assert store.load(CPU) == {"step": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt"]


def test_sigterm_is_a_request_to_stop():
    with stop_requests() as should_stop:
        assert not should_stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert should_stop()


def test_the_run_key_depends_on_settings_data_and_nothing_else(tmp_path):
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}")
    key = run_key("train", {"a": 1, "b": 2}, [manifest])
    assert key == run_key("train", {"b": 2, "a": 1}, [manifest])
    assert key != run_key("train", {"a": 1, "b": 3}, [manifest])
    manifest.write_text("{ }")
    assert key != run_key("train", {"a": 1, "b": 2}, [manifest])


class NearlyFull(io.BytesIO):
    """A file on a disk that takes 100 kB more."""

    def write(self, content):
        if self.tell() + len(content) > 100_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content)


def test_a_full_disk_says_so_while_weights_are_written(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def full(path):
        yield SimpleNamespace(open=lambda mode: NearlyFull())

    network = torch.nn.Linear(500, 500)
    monkeypatch.setattr(checkpoints, "atomic_path", full)
    monkeypatch.setattr(files, "atomic_path", full)
    with pytest.raises(OSError, match="No space left"):
        CheckpointStore(tmp_path).save(network.state_dict())
    config = ModelConfig("super_resolution", "t", "v", "smoke", 4, {}, {})
    with pytest.raises(OSError, match="No space left"):
        save_model(tmp_path, network, config)
