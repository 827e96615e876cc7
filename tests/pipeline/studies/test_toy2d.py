"""The toy experiment: its problem and exact answer, the flow, training side by side, and a whole run."""

import csv
import functools
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from study_runs import run_in

from models.flow.place import Place
from models.flow.transforms import Affine, CertifiedSpline
from models.lab.toy import NETS, ToyFlow
from pipeline.errors import ConfigError
from pipeline.studies.catalogue import STUDIES
from pipeline.studies.toy2d import problem as toy_problem
from pipeline.studies.toy2d import shifts
from pipeline.studies.toy2d import training as toy_training
from pipeline.studies.toy2d.layers import largest_growth, layer_variances
from pipeline.studies.toy2d.study import Toy2d, summary

TINY = {"seeds": 2, "iterations": 3, "batch": 20, "depth": 1, "width": 4}


def pairs(count=200):
    return toy_problem.draw(count, torch.Generator().manual_seed(1))


def test_the_data_fill_the_papers_parallelogram():
    x, y = pairs(20_000)
    assert x.shape == y.shape == (20_000, 2, 1, 1)
    corner = math.sqrt(3) / 4 + 0.1, 0.25 + math.sqrt(3) / 10  # u = (1, -1), written out from A.2
    assert x.abs().amax(0).flatten().tolist() == pytest.approx(corner, rel=0.02)
    clean = x.flatten(1) @ torch.tensor([[0.7, 0.3], [0.3, 0.7]])
    assert (y.flatten(1) - clean).std().item() == pytest.approx(0.01, rel=0.03)
    assert (toy_problem.shifted(y) - y)[0].flatten().tolist() == pytest.approx([0.8, -0.8])


def test_the_exact_answer_against_a_sum_over_a_grid():
    """p(x | y) = p(y | x) p(x) / sum over x of p(y | x) p(x), p(x) being the same everywhere in the parallelogram."""
    x, y = pairs(10)
    count = 1000
    middle = (np.arange(count) + 0.5) / count * 2 - 1
    u = np.stack(np.meshgrid(middle, middle, indexing="ij"), -1).reshape(-1, 2)
    grid = u @ toy_problem.MIX.T @ toy_problem.DEGRADATION.T
    cell = abs(np.linalg.det(toy_problem.MIX)) * (2 / count) ** 2
    found = []
    for own_x, own_y in zip(x.flatten(1).double().numpy(), y.flatten(1).double().numpy(), strict=True):
        evidence = np.exp(-((grid - own_y) ** 2).sum(1) / 2e-4).sum() * cell
        found.append(((own_y - toy_problem.DEGRADATION @ own_x) ** 2).sum() / 2e-4 + math.log(evidence))
    assert toy_problem.exact_nll(x, y) == pytest.approx(np.mean(found), abs=2e-3)


@pytest.mark.parametrize("net", list(NETS))
def test_training_side_by_side_is_training_one_by_one(net):
    def train(seeds):
        make = functools.partial(ToyFlow, CertifiedSpline(), depth=2, width=8, net=net)
        return toy_training.train(make, seeds, 16, [1e-2] * 5)

    alone, (_, among) = train([3])[0], train([1, 3])
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(among.state_dict()[name], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("net", list(NETS))
def test_a_flow_learns(net):
    x, y = pairs(1000)
    make = functools.partial(ToyFlow, Affine(), depth=2, width=16, net=net)
    rates = toy_training.learning_rates(3e-3, "cosine", 200)
    before, after = (toy_training.train(make, [0], 100, r)[0] for r in ([], rates))
    start, end = (-toy_training.log_likelihood(flow, x, y).mean().item() for flow in (before, after))
    assert end < start - 0.5


def test_learning_rates_follow_the_schedule():
    assert toy_training.learning_rates(2.0, "cosine", 4) == pytest.approx([2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5])
    assert toy_training.learning_rates(2.0, "constant", 2) == [2, 2]


class Stretching:
    """A flow of known faults: the identity, but where the first condition is above 1/2 a stretching by ``factor``."""

    def __init__(self, factor):
        self.factor = factor

    def share(self, y):
        return torch.where(y[:, :1] > 0.5, self.factor, 1.0)

    def __call__(self, x, condition):
        return x / condition, -2 * condition.log().flatten()

    def inverse(self, z, condition):
        return z * condition, 2 * condition.log().flatten()


def test_measures_of_a_flow_that_is_known():
    y = torch.zeros(4, 2, 1, 1)
    z = torch.tensor([[0.5, 0.5], [-0.5, 0.0], [0.1, 0.0], [0.0, -0.1]])[:, :, None, None]
    found = toy_training.measure(Stretching(4.0), z, y, z)
    assert found["nll"] == pytest.approx(math.log(2 * math.pi) + 0.5 * z.square().flatten(1).sum(1).mean().item())
    assert found["variance_ratio"] == pytest.approx(16)
    assert found["outside_in_distribution"] == 0
    assert found["outside"] == 0.5
    assert found["nonfinite"] == found["reconstruction"] == found["latent_round_trip"] == 0


def test_what_is_not_finite_is_no_number_and_lies_outside():
    y, z = torch.zeros(4, 2, 1, 1), torch.full((4, 2, 1, 1), 0.1)
    found = toy_training.measure(Stretching(math.inf), z, y, z)
    assert found["variance_ratio"] is None
    assert found["latent_round_trip"] is None
    assert found["outside"] == found["nonfinite"] == 1


def test_shifts_go_around_the_papers():
    found = shifts.vectors()
    assert found[shifts.SIZES.index(1.0) * shifts.DIRECTIONS] == (1.0, 0, pytest.approx((0.8, -0.8)))
    for size, _, (across, up) in found:
        assert math.hypot(across, up) == pytest.approx(size * 0.8 * math.sqrt(2))
    assert len({vector for *_, vector in found}) == len(found)


def test_a_flow_that_stretches_to_the_right_explodes_there_alone():
    """Conditions near 0 are above 1/2 in the first coordinate for shifts that point to the right, far enough."""
    y, z = torch.zeros(50, 2, 1, 1), 0.1 * torch.randn(50, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    rows = shifts.measure_shifts(Stretching(20.0), y, z)
    for row, (size, direction, (across, _)) in zip(rows, shifts.vectors(), strict=True):
        assert (row["size"], row["direction"]) == (size, direction)
        assert shifts.exploded(row) == shifts.left(row) == (across > 0.5)
        assert row["variance_ratio"] == pytest.approx(400.0 if across > 0.5 else 1.0, rel=1e-4)


def test_variances_of_a_flow_that_triples_shifted_conditions_points():
    flow = ToyFlow(Affine(), depth=2, width=4)
    _, y = pairs()
    z = toy_training.latents(len(y))

    class Tripling(torch.nn.Module):
        """Stands for a coupling: the identity, and times 3 where the first coordinate of y is large."""

        place = Place(0, 1, "coupling")

        def share(self, features):
            return features["encoder"]

        def inverse(self, value, condition):
            return value * (3.0 if condition.flatten(1)[:, 0].mean() > 0.5 else 1.0), value.new_zeros(len(value))

    flow.layers = torch.nn.ModuleList([Tripling()])
    latent, last = layer_variances(flow, y, z)
    assert latent["true"] == latent["shifted"] == last["true"]
    assert last["layer"] == "Aff1"
    assert last["shifted"] == pytest.approx(9 * last["true"])
    assert largest_growth([latent, last]) == pytest.approx(9)
    assert largest_growth([latent, {**last, "shifted": None}]) == math.inf


def test_frequencies_count_seeds_and_directions():
    calm, loud = {"variance_ratio": 1.0, "outside": 0.0, "nonfinite": 0.0}, {"variance_ratio": None, "outside": 1.0}
    rows = [
        {"variant": "affine", "net": "plain", "size": 1.0, "seed": seed, "direction": direction, **calm}
        | (loud if (seed, direction) in ((0, 0), (0, 1), (2, 1)) else {})
        for seed in range(4)
        for direction in range(2)
    ]
    (found,) = shifts.frequencies(rows)
    assert (found["exploded"], found["left"], found["cases"]) == (3 / 8, 3 / 8, 8)
    assert (found["seeds_exploded"], found["seeds_left"]) == (2 / 4, 2 / 4)


def test_the_summary_counts_seeds():
    row = dict.fromkeys(("outside_in_distribution", "nonfinite", "reconstruction", "latent_round_trip"), 0.0)
    runs = [(-5.0, 1.0, 0.0), (-4.0, 11.0, 0.2), (None, None, 1.0)]
    rows = [
        {"variant": "certified_L2_t0.1", "nll": nll, "variance_ratio": ratio, "outside": outside, **row}
        for nll, ratio, outside in runs
    ]
    (found,) = summary(rows)
    assert (found["exploded"], found["left"], found["seeds"]) == (2, 2, 3)
    assert (found["nll_median"], found["nll_least"], found["nll_most"]) == (-4.0, -5.0, None)
    assert (found["lipschitz"], found["shift"]) == (2.0, 0.1)


def test_a_whole_run(tmp_path, capsys):
    names = ["affine", "certified_L2_t0.1", "certified_L4_t0.1"]
    page = run_in(tmp_path, Toy2d(**TINY, variants=",".join(names), both_nets="affine,rq_spline"))
    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [(row["variant"], row["seed"]) for row in content["runs"]] == [(n, s) for n in names for s in (0, 1)]
    assert content["options"]["iterations"] == 3
    assert content["exact_nll"] == pytest.approx(-5.74, abs=0.03)
    with (tmp_path / "results.csv").open(encoding="utf-8") as file:
        assert [float(row["nll"]) for row in csv.DictReader(file)] == [row["nll"] for row in content["runs"]]
    by_shift = list(csv.DictReader((tmp_path / "shifts.csv").open(encoding="utf-8")))
    assert {(row["variant"], row["net"], row["seed"]) for row in by_shift} == {
        ("affine", net, seed) for net in ("plain", "normalized") for seed in ("0", "1")
    }
    assert len(by_shift) == 4 * len(shifts.vectors())
    per_variant, often = page.tables
    assert [row[0] for row in per_variant.rows] == names
    assert [row[:2] for row in often.rows] == [("affine", "plain"), ("affine", "normalized")]
    assert len(set(per_variant.columns)) == len(per_variant.columns)
    cases = [f"affine, {n} nets, the paper's shift" for n in NETS]
    assert [one.what for one in page.comparisons] == cases * 2
    by_layer = list(csv.DictReader((tmp_path / "layers.csv").open(encoding="utf-8")))
    assert [row["layer"] for row in by_layer][:4] == ["z", "Aff1", "IC1", "AN1"]
    assert len(by_layer) == 4 * 4
    for name in ("samples.png", "nll.png", "explosions.png", "layers.png", "curves.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 200
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)


def test_the_same_options_give_the_same_numbers(tmp_path):
    for folder in ("a", "b"):
        run_in(tmp_path / folder, Toy2d(**TINY, net="normalized", variants="rq_spline", both_nets="rq_spline"))
    assert (tmp_path / "a/results.csv").read_bytes() == (tmp_path / "b/results.csv").read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"iterations": 0}, "--iterations: 0"),
        ({"learning_rate": math.nan}, "--learning-rate: nan"),
        ({"net": "plane"}, "did you mean 'plain'"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"variants": "affine,rq-spline"}, "did you mean 'rq_spline'"),
        ({"both_nets": "afine"}, "did you mean 'affine'"),
        ({"both_nets": "affine", "variants": "bounded"}, "--both-nets: none of affine"),
        ({"other_rate": 0.0}, "--other-rate: 0.0"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, options, said):
    with pytest.raises(ConfigError) as error:
        run_in(tmp_path / "out", Toy2d(**options))
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_it_is_in_the_catalogue():
    assert STUDIES["toy2d"] is Toy2d
