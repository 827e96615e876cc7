"""Compiled splines are the splines, gradients and their derivatives included; what has no compiler says so."""

import shutil

import pytest
import torch

from models.flow import compilation
from models.flow.transforms import CertifiedSpline, RationalQuadraticSpline

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")


@pytest.fixture
def compiling():
    compilation.compile_splines(True, CPU)
    yield
    compilation.compile_splines(False, CPU)


def example(dtype, batch=2):
    generator = torch.Generator().manual_seed(batch)
    x, h = (torch.randn(batch, count, 3, 5, generator=generator, dtype=torch.float64) for count in (4, 16))
    return x.to(dtype).requires_grad_(), h.to(dtype).requires_grad_()


def results(function, x, h):
    y, log_derivative = function(x, h)
    return y, log_derivative, *torch.autograd.grad(y.square().sum() + (log_derivative * y.detach()).sum(), (x, h))


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("spline", [RationalQuadraticSpline(), CertifiedSpline(lipschitz=4.0, shift=0.3)])
@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_they_are_the_splines(monkeypatch, compiling, spline, way):
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        for batch in (1, 2, 3):
            x, h = example(dtype, batch)
            found = results(getattr(spline, way), x, h)
            with monkeypatch.context() as plain:
                plain.setattr(compilation, "wanted", lambda: False)
                expected = results(getattr(spline, way), x, h)
            torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@needs_compiler
def test_their_gradients_have_derivatives(compiling):
    x, h = example(torch.float64)
    spline = RationalQuadraticSpline(bound=3.0, eps=0.05)
    assert torch.autograd.gradgradcheck(lambda x, h: spline.forward(x, h)[0], (x, h))


def test_nothing_is_compiled_unasked(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("compiled"))
    results(RationalQuadraticSpline().forward, *example(torch.float32))


def test_without_a_compiler_it_is_refused_and_nothing_changes(monkeypatch):
    def fails(*_, **__):
        raise OSError("no compiler\nof any kind")

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(RuntimeError, match=r"^no compiler$"):
        compilation.compile_splines(True, CPU)
    assert not compilation.wanted()
