"""What a stage computes with; a compiler that is missing is a line, not an end."""

import torch

from models.flow import compilation
from pipeline.config import RuntimeConfig
from pipeline.devices import choose_device


def test_without_a_compiler_it_goes_on_and_says_so(monkeypatch, capsys):
    def fails(*_, **__):
        raise OSError("no compiler")

    monkeypatch.setattr(torch, "compile", fails)
    assert choose_device(RuntimeConfig(compile=True, device="cpu")).type == "cpu"
    said = capsys.readouterr().out.splitlines()
    assert said == ["runtime.compile: no compiler works here, so splines are computed as without it (no compiler)"]
    assert not compilation.wanted()


def test_what_one_runtime_asked_for_another_does_not_inherit(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    choose_device(RuntimeConfig(compile=True, device="cpu"))
    assert compilation.wanted()
    choose_device(RuntimeConfig(device="cpu"))
    assert not compilation.wanted()
