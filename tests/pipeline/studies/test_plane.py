"""Singular values of maps of the plane, against hand-made Jacobians."""

import pytest
import torch

from models.flow.bijection import Bijection
from pipeline.studies.plane import plane_spectrum


class Linear(Bijection):
    """x -> M x, whose log-determinant is that of ``matrix`` plus ``off``."""

    def __init__(self, matrix, off=0.0):
        super().__init__()
        self.matrix, self.off = torch.tensor(matrix, dtype=torch.float64), off

    def forward(self, x, condition=None):
        log_det = torch.linalg.slogdet(self.matrix)[1] + self.off
        return (x.flatten(1) @ self.matrix.T)[:, :, None, None], log_det.expand(len(x))

    def inverse(self, z, condition=None):
        raise NotImplementedError


class Powers(Bijection):
    """(x1, x2) -> (x1^2, x2), of which every point has another Jacobian."""

    def forward(self, x, condition=None):
        return torch.cat([x[:, :1] ** 2, x[:, 1:]], 1), (2 * x[:, 0, 0, 0]).abs().log()

    def inverse(self, z, condition=None):
        raise NotImplementedError


X = torch.tensor([[1.0, 2.0], [3.0, 5.0], [0.25, 1.0]], dtype=torch.float64)[:, :, None, None]


@pytest.mark.parametrize("matrix", [[[2.0, 0.0], [0.0, 0.5]], [[1.0, 0.0], [7.0, 1.0]], [[0.0, 3.0], [1.0, 2.0]]])
def test_singular_values_are_those_of_a_decomposition(matrix):
    found = plane_spectrum(Linear(matrix), X)
    largest, least = torch.linalg.svdvals(torch.tensor(matrix, dtype=torch.float64))
    torch.testing.assert_close(found.largest, largest.expand(3))
    torch.testing.assert_close(found.least, least.expand(3))
    torch.testing.assert_close(found.condition, (largest / least).expand(3))


def test_every_point_has_its_own():
    found = plane_spectrum(Powers(), X)
    assert found.largest.tolist() == pytest.approx([2.0, 6.0, 1.0])
    assert found.least.tolist() == pytest.approx([1.0, 1.0, 0.5])


def test_a_singular_value_far_below_rounding_is_found():
    """The matrix of u v^T + 1e-30 ...: as float64 it is singular to rounding, its determinant is known otherwise."""
    matrix = [[1.0, 1.0], [1.0, 1.0 + 2**-40]]
    off = -50.0
    found = plane_spectrum(Linear(matrix, off), X[:1])
    assert float(found.largest) == pytest.approx(2.0)
    assert float(found.least) == pytest.approx(2**-40 * torch.tensor(off).exp().item() / 2, rel=1e-3)


def test_a_wrong_log_det_shows():
    found = plane_spectrum(Linear([[2.0, 1.0], [0.0, 3.0]], off=0.5), X)
    torch.testing.assert_close(found.log_det - found.numeric_log_det, torch.full((3,), 0.5, dtype=torch.float64))


def test_float32_is_refused():
    with pytest.raises(ValueError, match="float64"):
        plane_spectrum(Powers(), X.float())
