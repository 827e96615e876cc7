"""The out-of-distribution score in an audit: whose patches it is fitted on, and what it says of artifacts."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf
from small_flow import small_flow

from models.flow.features import whole
from pipeline.stability.analyses.out_of_distribution import PATCH_TABLE, OutOfDistribution
from pipeline.stability.analyses.pushed_features import PushedFeatures
from pipeline.stability.measure.encoder_features import patch_means, pushed, tapped_blocks
from pipeline.stability.stress import StressInput
from pipeline.stability.subject import Subject


def picture(side, seed=0):
    """Return an LR picture with some structure."""
    noise = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed))
    return 0.5 * noise + torch.linspace(0, 0.5, side)


def subject(photographs=2, stress=1, training=(), draws=2):
    pictures = [(f"p{i}", torch.zeros(1, 3, 64, 64), picture(16, i)) for i in range(photographs)]
    inputs = [StressInput(f"noise_{i}", "noise", torch.rand(1, 3, 16, 16)) for i in range(stress)]
    return Subject(small_flow(), pictures, inputs, draws, 0.9, 10, training)


def photograph(seed):
    return np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)


def features_of(network, seen):
    """Return the mean of the tapped block over quarters of the picture, by slicing."""
    encoder = network.encoder
    with torch.no_grad():
        block = encoder.trunk[0](encoder.first(seen))[0].double()
    return np.stack([block[:, a : a + 8, b : b + 8].mean((1, 2)).numpy() for a in (0, 8) for b in (0, 8)])


def test_a_held_out_picture_is_scored_by_the_others():
    audited = subject(photographs=3)
    rows = OutOfDistribution(patch=32).run(audited).tables[PATCH_TABLE]
    own, *others = (features_of(audited.network, seen) for _, _, seen in audited.pictures)
    others = np.concatenate(others)
    inverse = np.linalg.inv(LedoitWolf().fit(others).covariance_)
    expected = [mahalanobis(patch, others.mean(0), inverse) for patch in own]
    assert [row["score"] for row in rows if row["name"] == "p0"] == pytest.approx(expected, rel=1e-4)
    assert [(row["row"], row["column"]) for row in rows[:4]] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_training_pictures_are_what_all_are_measured_from():
    training = [("a", (photograph(0),)), ("b", (photograph(1),)), ("c", (photograph(2),))]
    audited = subject(photographs=1, training=training)
    found = OutOfDistribution(patch=32).run(audited)
    inside = np.concatenate([features_of(audited.network, seen) for seen in audited.training_inputs()])
    inverse = np.linalg.inv(LedoitWolf().fit(inside).covariance_)
    own = features_of(audited.network, audited.pictures[0][2])
    expected = [mahalanobis(patch, inside.mean(0), inverse) for patch in own]
    assert found.numbers["fitted_patches"] == 12 and "training pictures" in found.said
    assert [row["score"] for row in found.tables[PATCH_TABLE][:4]] == pytest.approx(expected, rel=1e-4)


def test_one_picture_alone_has_no_score():
    found = OutOfDistribution(patch=32).run(subject(photographs=1))
    assert found.numbers["score_in_distribution"] is None and found.numbers["score_stress"] > 0
    assert found.reasons["score_in_distribution"] == "one picture, and no other to fit on"
    assert found.numbers["artifacts_in_distribution"] is not None


def test_without_pictures_the_reason_says_so():
    found = OutOfDistribution(patch=32).run(subject(photographs=0))
    assert found.numbers["score_stress"] is None and "two vectors at least, got 0" in found.reasons["score_stress"]
    assert set(found.reasons) == {name for name, value in found.numbers.items() if value is None}


def test_artifacts_are_counted_where_they_are(monkeypatch):
    audited = subject(photographs=2, stress=1)

    def inverse(z, condition):
        """Draw grey pictures; the second draw has a bad value in the lower left patch."""
        images = torch.full((len(z), 3, 64, 64), 0.5)
        images[1, 0, 40, 5] = float("nan")
        images[1, 1, 41, 5] = 1.51
        return images, None

    monkeypatch.setattr(audited.network, "inverse", inverse)
    rows = OutOfDistribution(patch=32).run(audited).tables[PATCH_TABLE]
    assert {(row["row"], row["column"]) for row in rows if row["bad_share"] > 0} == {(1, 0)}
    assert rows[2]["bad_share"] == pytest.approx(2 / (2 * 3 * 32 * 32))
    assert not any(row["lr_error"] for row in rows)  # of a picture with NaN nothing can be said


def test_a_score_that_tells_artifacts_is_found_to_do_so(monkeypatch):
    audited = subject(photographs=3, stress=2)
    loud = {stress.name for stress in audited.stress}
    draw = audited.network.inverse
    names = iter([*(name for name, *_ in audited.pictures), *loud])

    def inverse(z, condition):
        images, log_det = draw(z, condition)
        return torch.full_like(images, 2.0 if next(names) in loud else 0.5), log_det

    monkeypatch.setattr(audited.network, "inverse", inverse)
    for stress in audited.stress:
        stress.seen.fill_(20.0)  # nothing in a photograph is so bright
    found = OutOfDistribution(patch=32).run(audited)
    assert found.numbers["auc"] == 1.0 and found.numbers["artifacts_stress"] == 1.0
    assert found.numbers["auc_in_distribution"] is None
    assert found.reasons["auc_in_distribution"] == "no artifact in any"
    curve = [row for row in found.tables["out_of_distribution_curve.csv"] if row["inputs"].endswith("stress inputs")]
    assert curve[0]["bad_share"] == 1.0 and curve[-1]["bad_share"] == 0.0


def test_a_patch_larger_than_a_picture_is_the_picture():
    rows = OutOfDistribution(patch=1000).run(subject()).tables[PATCH_TABLE]
    assert len(rows) == 3


def test_patch_means_of_uneven_sizes_cover_everything():
    found = patch_means([torch.arange(10.0).view(1, 1, 2, 5), torch.ones(1, 2, 4, 4)], 1, 2)
    assert found.tolist() == [[(0 + 1 + 2 + 5 + 6 + 7) / 6, 1, 1], [(2 + 3 + 4 + 7 + 8 + 9) / 6, 1, 1]]


def test_hooks_are_gone_afterwards():
    network = small_flow().network
    with tapped_blocks(network.encoder) as maps, torch.no_grad():
        network.encoder(picture(16), 2)
    with pushed(network.encoder, 2), torch.no_grad():
        far = network.encoder(picture(16), 2)
    with torch.no_grad():
        near = network.encoder(picture(16), 2)
    assert len(maps) == 1
    for level, features in near.items():
        mean = whole(features).mean((2, 3), keepdim=True)
        assert torch.allclose(whole(far[level]) - mean, 2 * (whole(features) - mean), atol=1e-6)


def test_pushed_features_reach_the_draws():
    flow = small_flow()
    with torch.no_grad():
        flow.network.encoder.first.weight.mul_(30.0)  # at random weights, features hardly vary
        for name, parameter in flow.network.flow.named_parameters():
            if ".net.out.conv" in name:
                parameter.normal_(std=0.2)
    audited = Subject(flow, [("p", torch.zeros(1, 3, 64, 64), picture(16))], [], 1, 0.9, 10)
    found = PushedFeatures().run(audited).numbers
    encode, network = flow.network.encoder.forward, flow.network

    def far(lr, levels):
        seen = {level: whole(features) for level, features in encode(lr, levels).items()}
        return {level: 4 * each - 3 * each.mean((2, 3), keepdim=True) for level, each in seen.items()}

    flow.network.encoder.forward = far
    with torch.no_grad():
        image, _ = network.inverse(audited.latents(picture(16), "p"), network.share(picture(16)))
    assert found["largest_4"] == pytest.approx(float(image.abs().max()), rel=1e-4)
    assert abs(found["largest_4"] - found["largest_2"]) > 1e-2
    assert found["bad_share_4"] == pytest.approx(float(((image < -0.5) | (image > 1.5)).float().mean()), abs=1e-4)


def test_nothing_to_push():
    found = PushedFeatures().run(subject(photographs=0))
    assert set(found.reasons.values()) == {"no such input"} and set(found.reasons) == set(found.numbers)
