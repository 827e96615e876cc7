"""The classifier study: its data, measures of networks that are known, trainings, and a whole run."""

import csv
import functools
import json
import math

import pytest
import torch
from PIL import Image
from source_trees import TREES
from study_runs import RUNTIME, run_in
from torch import nn

from models.flow.bijection import Bijection
from models.flow.layers.coupling import Coupling
from models.lab.classifier import Classified
from pipeline.config import RuntimeConfig
from pipeline.errors import SteadyflowError
from pipeline.studies.classifier.claims import comparisons
from pipeline.studies.classifier.cost import step_seconds
from pipeline.studies.classifier.data import labelled, shifted_and_flipped
from pipeline.studies.classifier.measures import conditioning, gradient_angles
from pipeline.studies.classifier.measures import test_set as measure_test_set
from pipeline.studies.classifier.options import MEASURES, TAGS
from pipeline.studies.classifier.paper import TABLE_10
from pipeline.studies.classifier.study import Classifier
from pipeline.studies.classifier.tables import summary
from pipeline.studies.classifier.training import Setting, train_classifier
from pipeline.studies.lab import Lab
from pipeline.tracking.identity import Identity

SIZES = {"depth": 1, "width": 4, "batch": 8, "points": 1, "pictures": 1}
TINY = {
    **{**SIZES, "iterations": 4, "seeds": 1, "cost_rounds": 1, "variants": "additive-conv,affine-conv"},
    **{"fd_weights": "", "nf_weights": "", "everies": ""},
}


@pytest.fixture(scope="module")
def data():
    return labelled("digits")


def lab_in(folder, trials=1):
    runtime = RuntimeConfig(**{**RUNTIME, "trials": trials, "tracking_uri": f"sqlite:///{folder}/mlflow.db"})
    return Lab(folder, folder / "out", Identity("study-classifier", {"study": "classifier"}, "0123abcd"), runtime, {})


def trained(trial, data, **setting):
    tags = {"regularizer": trial.tags["regularizer"], "seed": trial.tags["seed"]}
    return train_classifier(
        Setting(**{**SIZES, "steps": 4, "weight": 1e-3, "every": 2, **tags, **setting}), data, trial
    )


def test_training_pictures_have_mean_0_and_variance_1(data):
    seen = data.normalized(data.pictures.train)
    assert seen.mean().item() == pytest.approx(0, abs=1e-6)
    assert seen.std().item() == pytest.approx(1, abs=1e-6)


def test_batches_depend_on_their_step_alone_and_an_epoch_has_every_picture(data):
    count = len(data.pictures.train_labels)
    whole, late = list(data.batches(1, 100, 0, 20)), list(data.batches(1, 100, 13, 20))
    for (x, labels), (again, same) in zip(whole[13:], late, strict=True):
        assert torch.equal(x, again)
        assert torch.equal(labels, same)
    epoch = torch.cat([labels for _, labels in whole])[:count]
    assert torch.equal(epoch.bincount(), data.pictures.train_labels.bincount())
    assert not torch.equal(next(data.batches(2, 100, 0, 1))[1], whole[0][1])


def test_augmented_pictures_are_shifted_and_flipped_by_as_much_as_the_paper():
    x = torch.arange(1.0, 33.0).expand(200, 1, 32, 32)  # a value is its column
    moved = shifted_and_flipped(x, torch.Generator().manual_seed(0))
    rows = [row[row > 0] for row in moved[:, 0, 16]]
    flipped = [bool(row[0] > row[-1]) for row in rows]
    assert 60 < sum(flipped) < 140
    for row, backwards in zip(rows, flipped, strict=True):
        ahead = row.flip(0) if backwards else row
        assert torch.equal(ahead, torch.arange(ahead[0].item(), ahead[-1].item() + 1))
        assert len(row) >= 28
    assert {len(row) for row in rows} == {28, 29, 30, 31, 32}


class Known(Bijection):
    """z = Q diag(f) x with f of ones but ``least`` and ``largest``, twice as large where x starts above 0; class 1.

    The inverse misses by ``error`` in the first value.
    """

    def __init__(self, least, largest, error=0.0):
        super().__init__()
        factors = torch.ones(16)
        factors[3], factors[7], self.error = least, largest, error
        self.factors = nn.Parameter(factors)
        self.q = nn.Parameter(torch.linalg.qr(torch.randn(16, 16, dtype=torch.float64))[0].float())

    def forward(self, x, condition=None):
        twice = torch.where(x.flatten(1)[:, :1] > 0, 2.0, 1.0)
        return (x.flatten(1) * self.factors * twice @ self.q.T).view_as(x), x.new_zeros(len(x))

    def inverse(self, z, condition=None):
        z = torch.linalg.solve(self.q, z.flatten(1).T).T / self.factors
        x = z / torch.where(z[:, :1] > 0, 2.0, 1.0)
        return (x + self.error * torch.eye(16, dtype=x.dtype)[0]).view(-1, 1, 4, 4), x.new_zeros(len(x))

    def classify(self, x):
        z, log_det = self(x)
        return Classified(z, log_det, torch.tensor([[0.0, 1.0]]).expand(len(x), 2))


def points(*firsts):
    x = torch.randn(len(firsts), 1, 4, 4)
    x[:, 0, 0, 0] = torch.tensor(firsts)
    return x


def test_conditioning_of_a_map_of_known_singular_values():
    values, reasons = conditioning(Known(1e-4, 50.0), points(1.0, -1.0, -2.0))
    assert values["least"] == pytest.approx(1e-4, rel=1e-4)
    assert values["largest"] == pytest.approx(100.0, rel=1e-4)
    assert values["condition"] == pytest.approx(5e5, rel=1e-4)
    assert values["condition_worst"] == pytest.approx(5e5, rel=1e-4)
    assert reasons == {}


def test_a_map_without_inverse_has_no_condition_number_but_a_reason():
    values, reasons = conditioning(Known(0.0, 50.0), points(1.0, -1.0))
    assert values["condition"] is values["condition_worst"] is values["least"] is None
    assert values["largest"] == pytest.approx(100.0, rel=1e-4)
    assert reasons["condition"] == "not finite at 2 of 2 pictures"


def test_accuracy_and_reconstruction_of_a_map_that_is_known():
    batches = [(points(1.0, -1.0), torch.tensor([1, 0])), (points(2.0, -2.0), torch.tensor([1, 1]))]
    values, _ = measure_test_set(Known(1.0, 1.0, error=0.25), batches)
    assert values["accuracy"] == 75.0
    assert values["reconstruction"] == pytest.approx(0.25, abs=1e-5)
    assert values["reconstruction_largest"] == pytest.approx(0.25, abs=1e-5)
    assert values["reconstruction_nonfinite"] == 0
    values, reasons = measure_test_set(Known(1.0, 1.0, error=math.inf), batches)
    assert values["reconstruction"] is None
    assert values["reconstruction_nonfinite"] == 100
    assert reasons["reconstruction"] == "not finite for 4 of 4 pictures"


def test_gradients_of_a_lost_inverse_turn_away(data):
    def angle(bias):
        torch.manual_seed(0)
        network = Setting(depth=2, width=8).network(data)
        for parameter in network.head.parameters():
            nn.init.normal_(parameter)
        for coupling in (module for module in network.modules() if isinstance(module, Coupling)):
            nn.init.normal_(coupling.net.first.weight)
            nn.init.normal_(coupling.net.out.conv.weight, std=0.1)
            nn.init.constant_(coupling.net.out.conv.bias, bias)
        values, _ = gradient_angles(network, list(data.batches(0, 16, 0, 1)))
        return values["angle_float32"], values["angle_float64"]

    single, double = angle(bias=0.0)
    assert 0 <= single < 1e-4
    assert 0 <= double < 1e-11
    lost, _ = angle(bias=-40.0)  # scales of e^-38: after a 1x1 convolution nothing is left of what they multiply
    assert lost is None or lost > 0.1


SIDE_BY_SIDE = [{"regularizer": "fd", "seed": 0}, {"regularizer": "nf", "seed": 1}]


def without_times(found):
    if isinstance(found, dict):
        return {k: without_times(v) for k, v in found.items() if k not in ("minutes", "measuring_seconds")}
    return [without_times(one) for one in found] if isinstance(found, list) else found


@pytest.mark.slow
def test_a_training_side_by_side_is_the_training_alone(tmp_path, data):
    work = functools.partial(trained, data=data)
    both = lab_in(tmp_path / "both", trials=2).trials(work, SIDE_BY_SIDE)
    (alone,) = lab_in(tmp_path / "alone").trials(work, SIDE_BY_SIDE[1:])
    assert without_times(both[1]) == without_times(alone)
    assert both[0]["accuracy"] is not None
    assert alone["curve"][-1]["step"] == 4


def test_a_diverging_training_says_so(tmp_path, data):
    work = functools.partial(trained, data=data, learning_rate=1e30)
    (found,) = lab_in(tmp_path).trials(work, [{"regularizer": "none", "seed": 0}])
    assert "non-finite loss or gradient" in found["diverged"]
    assert "accuracy" not in found


def test_a_step_with_the_penalty_costs_more_and_a_rare_one_less(tmp_path, data):
    def work(trial):
        return step_seconds(Setting(**SIZES, regularizer="fd", weight=1e-3, memory="reversible"), data, trial, 3)

    (found,) = lab_in(tmp_path).trials(work, [{"timed": "steps"}])
    assert found["seconds_penalized"] > found["seconds_plain"] > 0
    extra = found["overhead_1"] - 1
    assert found["overhead_1"] == pytest.approx(found["seconds_penalized"] / found["seconds_plain"])
    assert found["overhead_10"] == pytest.approx(1 + extra / 10)


def test_the_papers_condition_numbers_are_those_of_its_singular_values():
    for row in TABLE_10.values():
        assert row.condition == pytest.approx(row.largest / row.least, rel=0.1)


def test_a_whole_run(tmp_path):
    page = run_in(tmp_path, Classifier(**TINY))
    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    kinds = [(coupling, name) for coupling in ("additive", "affine") for name in ("none", "fd", "nf")]
    assert [(row["coupling"], row["regularizer"]) for row in content["runs"]] == kinds
    with (tmp_path / "results.csv").open(encoding="utf-8") as file:
        assert [float(row["accuracy"]) for row in csv.DictReader(file)] == [r["accuracy"] for r in content["runs"]]
    for figure in page.figures:
        with Image.open(tmp_path / figure.file) as picture:
            assert min(picture.size) > 200
    assert [row[:2] for row in page.tables[0].rows] == [
        (f"{coupling} conv", {"none": "none", "fd": "FD", "nf": "NF"}[name]) for coupling, name in kinds
    ]
    assert len(page.comparisons) == 9


def test_a_study_of_which_every_training_diverges_ends(tmp_path):
    page = run_in(tmp_path, Classifier(**{**TINY, "variants": "affine-conv", "learning_rate": 1e30}))
    assert [row[3:5] for row in page.tables[0].rows] == [(1, "diverged")] * 3
    assert {one.agrees for one in page.comparisons if one.source == "B, Table 2"} == {"cannot be told"}
    assert "3 of 3 trainings diverged" in page.found[-1]


def test_cifar10_in_class_folders(tmp_path):
    source = TREES["cifar10 classes"].make(tmp_path / "source")
    own = {"variants": "affine-conv", "source": str(source), "levels": 1, "batch": 2}
    page = run_in(tmp_path / "out", Classifier(**{**TINY, **own}))
    assert page.scale.startswith("CIFAR-10")
    assert all(row[3] == 0 for row in page.tables[0].rows)


def made_up(regularizer, seed, condition, reconstruction, angle, coupling="affine"):
    weight, every = {"none": (0.0, 0), "fd": (3e-3, 10), "nf": (5e-4, 1)}[regularizer]
    measures = dict.fromkeys(MEASURES, 1.0) | {"condition_worst": condition, "reconstruction": reconstruction}
    tags = dict(zip(TAGS, (coupling, "conv", regularizer, weight, every, seed), strict=True))
    curve = [{"step": 1, "angle_float32": 1e-7}, {"step": 2} | ({"angle_float32": angle} if angle else {})]
    return {**tags, **measures, "least": 1 / condition, "diverged": None, "curve": curve}


@pytest.mark.parametrize(
    ("unregularized", "order", "lost", "angle"),
    [
        ([(1e9, None, None), (1e8, None, None)], "yes", "yes", "yes"),
        ([(1e9, None, None), (1e8, 1.0, 1e-7)], "yes", "partly", "partly"),
        ([(1e9, 1.0, 1e-3), (10.0, 1e-6, 1e-3)], "partly", "no", "partly"),
        ([(10.0, 1e-6, 1e-8), (10.0, 1e-6, 1e-8)], "no", "no", "no"),
    ],
)
def test_claims_are_judged_by_every_seed(unregularized, order, lost, angle):
    trials = [made_up("none", seed, *values) for seed, values in enumerate(unregularized)]
    trials += [made_up(kind, seed, 100.0, 1e-5, 1e-7) for kind in ("fd", "nf") for seed in (0, 1)]
    cost = {f"overhead_{k}": 1.0 for k in (1, 5, 10)}
    found = comparisons(Classifier(seeds=2), trials, summary(trials), cost)
    agrees = {one.what: one.agrees for one in found}
    said = [next(agrees[what] for what in agrees if part in what) for part in ("is worse", "is lost", "leave the true")]
    assert said == [order, lost, angle]
    assert next(agrees[what] for what in agrees if "additive" in what) == "cannot be told"
    assert next(agrees[what] for what in agrees if "cost of FD" in what) == "no"


@pytest.mark.parametrize(("lightest", "agrees"), [(1e3, "yes"), (10.0, "no"), (None, "cannot be told")])
def test_a_training_that_diverged_has_no_condition_number_to_compare(lightest, agrees):
    trials = [made_up("fd", 0, 100.0, 1e-5, 1e-7), made_up("fd", 0, lightest or 1.0, 1e-5, 1e-7) | {"weight": 1e-4}]
    if lightest is None:
        trials[1] |= dict.fromkeys(MEASURES) | {"diverged": "at step 3"}
    found = comparisons(Classifier(seeds=1), trials, summary(trials), {f"overhead_{k}": 1.0 for k in (1, 5, 10)})
    weights = next(one for one in found if "larger weight" in one.what)
    assert weights.agrees == agrees
    assert ("0.0001: diverged" in weights.ours) == (lightest is None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"variants": "affine"}, "--variants: unknown 'affine'"),
        ({"core": "affine-shuffle", "variants": "affine-conv"}, "--core: affine-shuffle is none of"),
        ({"fd_weights": "1e-3;1e-4"}, "is not a list of numbers such as"),
        ({"nf": -1.0}, "--nf: -1.0 is not a finite number > 0"),
        ({"directions": "publishd"}, "directions 'publishd' do not exist"),
        ({"source": "nowhere"}, "there is no such folder"),
    ],
)
def test_wrong_options_are_told(tmp_path, options, said):
    with pytest.raises(SteadyflowError, match=said):
        run_in(tmp_path / "out", Classifier(**{**TINY, **options}))
    assert list(tmp_path.iterdir()) == []
