"""The checkerboard: its data, measures of maps of known fault, and a whole run."""

import math

import pytest
import torch
from PIL import Image
from study_runs import run_in

from models.flow.bijection import Bijection
from pipeline.errors import ConfigError
from pipeline.studies.catalogue import STUDIES
from pipeline.studies.checkerboard import problem
from pipeline.studies.checkerboard.measuring import measure
from pipeline.studies.checkerboard.study import Checkerboard

TINY = {"iterations": 2, "batch": 20, "blocks": 1, "width": 4, "grid": 8}


def test_the_data_fill_every_other_square_evenly():
    x = problem.draw(40_000, torch.Generator().manual_seed(0)).flatten(1)
    column, row = ((x + 4) / 2).floor().long().T
    counts = torch.zeros(4, 4).index_put_((row, column), torch.ones(len(x)), accumulate=True)
    filled = counts > 0
    assert filled.tolist() == [[(r + c) % 2 == int(filled[0, 1]) for c in range(4)] for r in range(4)]
    assert counts[filled].min() > 0.9 * 5000 and counts[filled].max() < 1.1 * 5000
    assert math.log(32) == problem.EXACT_NLL  # 8 squares of area 4


def test_the_grid_is_the_papers():
    x = problem.grid(320)
    assert x.shape == (320**2, 2, 1, 1)
    assert x[0].flatten().tolist() == [-8.0, -8.0]
    assert (x[1] - x[0]).flatten().tolist() == pytest.approx([0.05, 0.0], abs=1e-6)
    assert float(x.max()) == pytest.approx(7.95)
    assert float(problem.inside(x).float().mean()) == pytest.approx(0.25, abs=0.01)


class Faulty(Bijection):
    """The identity, but the inverse adds ``error`` where x1 > 4, and the log-determinant is off by ``off`` there."""

    def __init__(self, error, off):
        super().__init__()
        self.error, self.off = error, off
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x, condition=None):
        # float64 is the copy that measures: it is right
        off = self.off if x.dtype == torch.float32 else 0.0
        return x.clone(), torch.where(x[:, 0, 0, 0] > 4, off, 0.0).to(x.dtype)

    def inverse(self, z, condition=None):
        return z + torch.where(z[:, :1] > 4, self.error, 0.0), z.new_zeros(len(z))


def test_faults_are_found_where_they_are():
    found = measure(Faulty(error=3.0, off=0.25), side=32, pictures=True)
    assert found["inside_largest"] == 0
    assert found["outside_largest"] == pytest.approx(3 * math.sqrt(2))
    # 7 of 32 columns lie right of x1 = 4; of the 32^2 - 17^2 points outside
    assert found["outside_lost"] == pytest.approx(7 * 32 / (32**2 - 17**2))
    assert found["log_det_inside"] == 0
    assert found["log_det_outside"] == pytest.approx(0.25)
    assert found["condition_largest"] == pytest.approx(1)
    assert sum(value > 1 for value in found["maps"]["error"]) == 7 * 32
    right = [value > 1 for value in found["maps"]["error"][:32]]
    assert right == [False] * 25 + [True] * 7


def test_what_is_not_finite_is_lost_and_no_number():
    found = measure(Faulty(error=math.inf, off=math.nan), side=8, pictures=False)
    assert found["outside_largest"] is None
    assert found["log_det_outside"] is None
    assert found["outside_lost"] > 0 and found["nonfinite_density"] > 0
    assert found["outside_median"] == 0  # most points are well


def test_the_density_of_a_known_flow():
    found = measure(Faulty(error=0.0, off=0.0), side=8, pictures=False)
    # N(0, I) on the checkerboard: log 2 pi + E|x|^2 / 2, and each coordinate is uniform on [-4, 4]
    assert found["nll"] == pytest.approx(math.log(2 * math.pi) + 16 / 3, rel=0.02)


def test_a_whole_run(tmp_path):
    page = run_in(tmp_path, Checkerboard(**TINY, seeds=2))
    assert [table.title for table in page.tables] == ["Reconstruction errors", "Densities and singular values"]
    for table in page.tables:
        assert [row[0] for row in table.rows] == ["affine", "modified", "residual"]
        assert len(set(table.columns)) == len(table.columns) == len(table.rows[0])
    lines = (tmp_path / "results.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * 2
    assert len(page.comparisons) == 6
    for figure in page.figures:
        with Image.open(tmp_path / figure.file) as picture:
            assert min(picture.size) > 400


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seeds": 0}, "--seeds: 0"),
        ({"grid": 7}, "--grid: 7"),
        ({"learning_rate": 0.0}, "--learning-rate: 0.0"),
        ({"weight_decay": -1.0}, "--weight-decay: -1.0"),
        ({"coefficient": 1.0}, "--coefficient: 1.0"),
        ({"variants": "afine"}, "did you mean 'affine'"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, options, said):
    with pytest.raises(ConfigError) as error:
        run_in(tmp_path / "out", Checkerboard(**options))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_it_is_in_the_catalogue():
    assert STUDIES["checkerboard"] is Checkerboard
