"""Section 2's example: errors against maps of known fault, singular values to the digit, and a whole run."""

import csv
import math

import pytest
import torch
from PIL import Image
from study_runs import run_in

from models.flow.bijection import Bijection
from models.flow.transforms import Additive, RangedAffine
from pipeline.errors import ConfigError
from pipeline.studies.catalogue import STUDIES
from pipeline.studies.depth_error.measuring import errors, errors_by_depth, spectra
from pipeline.studies.depth_error.study import DepthError

SHIFT = 0.123456789


class Off(Bijection):
    """x + 1, whose inverse takes away ``undone`` instead."""

    def __init__(self, undone):
        super().__init__()
        self.undone = undone

    def forward(self, x, condition=None):
        return x + 1.0, x.new_zeros(len(x))

    def inverse(self, z, condition=None):
        return z - self.undone, z.new_zeros(len(z))


def test_a_known_fault_adds_up_over_layers():
    x = torch.ones(1, 2, 1, 1, dtype=torch.float64)
    found = errors_by_depth([Off(1.0), Off(0.75), Off(0.5)], x)
    assert found == pytest.approx([0.0, 0.25 * math.sqrt(2), 0.75 * math.sqrt(2)])


def test_what_is_not_finite_is_no_number():
    assert errors_by_depth([Off(-math.inf)], torch.ones(1, 2, 1, 1)) == [None]


def test_every_output_is_rounded_to_the_precision():
    """1 + 1/256 is no bfloat16: rounded after the first layer, it is gone."""

    class Small(Off):
        def forward(self, x, condition=None):
            return x.float() + 2**-8, x.new_zeros(len(x))

    x = torch.ones(1, 1, 1, 1)
    assert errors_by_depth([Small(2**-8)], x.bfloat16()) == [2**-8]
    assert errors_by_depth([Small(2**-8)], x) == [0.0]


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("float32", {1: 1e-7, 4: 2e-5, 6: 8e-3, 8: 0.2, 10: 65.0, 20: 7e11}),  # an independent computation's figures
        ("float64", {8: 7e-10, 16: 9e-2}),
    ],
)
def test_affine_errors_are_those_of_figure_1(precision, expected):
    found = errors(RangedAffine(0.1, 0.1), max(expected), SHIFT, precision)
    assert {depth: found[depth - 1] for depth in expected} == pytest.approx(expected, rel=0.2)


def test_additive_errors_stay_at_rounding():
    assert max(errors(Additive(), 100, SHIFT, "float32")) <= 1.2e-7
    assert max(errors(Additive(), 100, SHIFT, "float16")) <= 2e-3


def test_singular_values_to_the_digit():
    depths = [1, 4, 10, 100]
    for transform, least in ((RangedAffine(0.1, 0.1), 0.1), (Additive(), 1.0)):
        found = spectra(transform, depths, SHIFT)
        assert found == [(1.0, pytest.approx(least**depth, rel=1e-12)) for depth in depths]


def test_a_whole_run(tmp_path):
    page = run_in(tmp_path, DepthError(depth=10, precisions="float32,float16"))
    (table,) = page.tables
    assert [row[0] for row in table.rows] == [1, 2, 4, 6, 8, 10]
    last = dict(zip(table.columns, table.rows[-1], strict=True))
    assert last["affine, float32"] == pytest.approx(65, rel=0.2)
    assert last["affine, float16"] == "not finite"
    assert last["affine condition"] == pytest.approx(1e10)
    assert "at 9 couplings" in page.found[0]
    assert [one.agrees for one in page.comparisons] == ["yes"] * 4
    with (tmp_path / "errors.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 2 * 2 * 10
    with Image.open(tmp_path / page.figures[0].file) as picture:
        assert min(picture.size) > 400


def test_a_scale_that_does_not_contract_disagrees_with_the_paper(tmp_path):
    page = run_in(tmp_path, DepthError(depth=10, scale=1.0, precisions="float32"))
    assert page.comparisons[0].agrees == "no"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth": 0}, "--depth: 0"),
        ({"scale": 0.0}, "--scale: 0.0"),
        ({"shift": math.inf}, "--shift: inf"),
        ({"precisions": "float23"}, "did you mean 'float32'"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, options, said):
    with pytest.raises(ConfigError) as error:
        run_in(tmp_path / "out", DepthError(**options))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_it_is_in_the_catalogue():
    assert STUDIES["depth_error"] is DepthError
