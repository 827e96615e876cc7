"""A stranger's checkpoint is read by a process of its own, which cannot take all memory or all time."""

import os
import time
from pathlib import Path

import pytest
import torch

from pipeline.errors import CheckpointError
from pipeline.upstream.isolated import read_apart


class Hostile:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_the_tensors_arrive_as_they_were(tmp_path):
    shared = torch.arange(6.0)
    tensors = {"a": shared, "module.b": shared[:3], "half": torch.ones(2, 3).half(), "t": torch.randn(4, 5).T}
    torch.save(tensors, tmp_path / "x.pth")
    read = read_apart(tmp_path / "x.pth")
    assert set(read) == {"a", "b", "half", "t"}
    for name, tensor in tensors.items():
        assert torch.equal(read[name.removeprefix("module.")], tensor.float())


def test_a_small_file_that_asks_for_much_is_refused(tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"a": torch.zeros(1).expand(2**36)}, path)  # 256 GiB of which one number is stored
    assert path.stat().st_size < 10_000
    with pytest.raises(CheckpointError, match=r"x\.pth (cannot be held in|asks for more memory)"):
        read_apart(path)


def test_a_file_that_takes_too_long_is_given_up(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pth")
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=r"was not read after 0 s: it is damaged, or means harm"):
        read_apart(tmp_path / "x.pth", seconds=0.01)
    assert time.monotonic() - began < 10


def test_faults_keep_their_words_and_the_name_that_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trace = tmp_path / "trace"
    torch.save({"a": Hostile(trace)}, "hostile.pth")
    with pytest.raises(CheckpointError, match=r"^hostile\.pth asks to run '.*mkdir' while it is read; nothing was run"):
        read_apart(Path("hostile.pth"))
    assert not trace.exists()


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth cannot be opened: it is a pipe, a socket or a device"):
        read_apart(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"none\.pth does not exist"):
        read_apart(tmp_path / "none.pth")
