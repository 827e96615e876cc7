"""Feature maps, reconstruction by depth and the attack, as analyses of a small network that is made to explode."""

import numpy as np
import pytest
import torch
from small_flow import small_flow

from pipeline.seeds import generator
from pipeline.stability.analyses.attack import ATTACK_PICTURE, ATTACK_TABLE, Attack
from pipeline.stability.analyses.feature_maps import FEATURE_MAPS, FeatureMaps
from pipeline.stability.analyses.reconstruction_by_depth import DEPTH_TABLE, ReconstructionByDepth
from pipeline.stability.drawing import NOT_FINITE
from pipeline.stability.stress import StressInput
from pipeline.stability.subject import Subject

HIGH, WIDE = 24, 20  # of the pictures; crops are square


def picture(name, size=(HIGH, WIDE)):
    target = torch.rand(1, 3, *size, generator=generator("target", name))
    return name, target, torch.nn.functional.avg_pool2d(target, 4)


def subject(flow, stress=("quiet", "loud"), pictures=("a", "b", "c"), draws=2):
    inputs = [StressInput(name, "stress", torch.rand(1, 3, 4, 4, generator=generator("seen", name))) for name in stress]
    return Subject(flow, [picture(name) for name in pictures], inputs, draws, 0.9, 10)


def exploding(place="level 1 step 1 actnorm"):
    """Return a flow whose inverse multiplies by e^200 at ``place``: more than a float32 holds."""
    flow = small_flow()
    (layer,) = (module for module in flow.network.modules() if str(getattr(module, "place", "")) == place)
    with torch.no_grad():
        layer.log_scale.fill_(-200.0)
    return flow


def share_of(pixels, colour):
    return float((pixels == np.array(colour)).all(-1).mean())


def test_crops_are_the_middles_and_what_the_network_sees_fits_them():
    found = subject(small_flow())
    names, target, seen = found.crops(2, 16)
    assert names == ["a", "b"] and target.shape == (2, 3, 16, 16) and seen.shape == (2, 3, 4, 4)
    assert torch.equal(target[0], found.pictures[0][1][0, :, 4:20, 0:16])  # 2 to 18, at a pixel of the input
    assert torch.equal(torch.nn.functional.avg_pool2d(target, 4), seen)
    assert found.crops(99, 99)[1].shape == (3, 3, 20, 20) and found.crops(1, 1)[1].shape == (1, 3, 4, 4)


def test_maps_say_behind_which_layer_features_are_not_finite():
    found = FeatureMaps().run(subject(exploding()))
    said = "not finite from level 1 step 1 actnorm on"
    assert found.reasons == {"largest_stress": said, "largest_in_distribution": said}
    assert set(found.numbers.values()) == {None}
    # of the 20 maps of each draw, those of that layer and of the five behind it
    maps = found.pictures[FEATURE_MAPS]
    assert 0.1 < share_of(maps, NOT_FINITE) < 0.3
    assert share_of(FeatureMaps().run(subject(small_flow())).pictures[FEATURE_MAPS], NOT_FINITE) < 0.001  # the legend


def test_the_largest_feature_is_that_of_the_worst_draw():
    subject_ = subject(small_flow())
    found = FeatureMaps().run(subject_)
    largest = {}
    for each in subject_.inputs():
        padded, condition = subject_.condition(each.seen)
        with torch.no_grad():
            images, _ = subject_.network.inverse(subject_.latents(padded, each.name), condition)
        where = "in_distribution" if each.condition == "in_distribution" else "stress"
        largest[where] = max(largest.get(where, (0.0, "")), (float(images.abs().max()), each.name))
    assert found.said == f"worst draw on a stress input: {largest['stress'][1]}"
    # its features are those before the enlarged input, in [0, 1], is added
    for where, (value, _) in largest.items():
        assert 10 ** found.numbers[f"largest_{where}"] >= value - 1


def test_fewer_maps_are_drawn_where_asked():
    few, all_ = (FeatureMaps(layers=layers).run(subject(small_flow())).pictures[FEATURE_MAPS] for layers in (3, 60))
    assert few.shape[0] < all_.shape[0]
    with pytest.raises(ValueError, match="layers must be 1 or more, got 0"):
        FeatureMaps(layers=0)


def test_depth_is_measured_in_three_precisions_and_two_directions():
    found = ReconstructionByDepth(points=4, pictures=2, side=16).run(subject(small_flow()))
    rows = found.tables[DEPTH_TABLE]
    assert len(rows) == 3 * 2 * 4
    errors = {(row["dtype"], row["direction"]): row["largest"] for row in rows if row["index"] == 20}
    assert len(errors) == 6
    for way, name in (("x to z and back", "picture"), ("z to x and back", "latent")):
        assert errors["float64", way] < 1e-12 < errors["float32", way] < 1e-4 < errors["bfloat16", way]
        assert found.numbers[f"{name}_float32"] == errors["float32", way]
    assert found.numbers["nonfinite_float32"] == 0 and not found.reasons


def test_what_explodes_in_one_precision_is_null_with_its_count():
    found = ReconstructionByDepth(points=20, pictures=1, side=16).run(subject(exploding()))
    assert found.numbers["latent_float64"] is not None  # e^200 is nothing to a float64
    assert found.numbers["latent_float32"] is None and found.numbers["nonfinite_float32"] > 0
    assert found.reasons["latent_float32"].endswith("of 768 values not finite")
    way = [row for row in found.tables[DEPTH_TABLE] if row["line"] == "z, float32"]
    finite = [row["layer"] for row in way if row["largest"] is not None]
    # from the latent on, up to the layer before the one that explodes
    assert finite[-1] == "level 1 step 1 1x1" and len(finite) == len(way) - 7


def test_the_attack_of_a_network_leaves_numbers_rows_and_a_picture():
    found = Attack(steps=3, pictures=2, side=16).run(subject(small_flow()))
    rows = found.tables[ATTACK_TABLE]
    assert [row["picture"] for row in rows] == ["a", "b"] and all(row["steps"] == 3 for row in rows)
    assert found.numbers["error_largest_after"] == max(row["after"] for row in rows)
    assert found.numbers["error_largest_after"] >= found.numbers["error_largest_before"] > 0
    assert share_of(found.pictures[ATTACK_PICTURE], NOT_FINITE) == 0


def test_pictures_that_are_never_reconstructed_are_counted_before_and_after():
    found = Attack(steps=3, pictures=3, side=16).run(subject(exploding()))
    assert found.numbers["nonfinite_before"] == found.numbers["nonfinite_after"] == 3
    assert all(row["steps"] == 0 for row in found.tables[ATTACK_TABLE])
    assert set(found.reasons.values()) == {"not finite (3 of 3 pictures)"} and len(found.reasons) == 4
    assert share_of(found.pictures[ATTACK_PICTURE], NOT_FINITE) > 0.2


@pytest.mark.parametrize(
    ("analysis", "options", "said"),
    [
        (Attack, {"bits": 0}, "bits must be 1 to 8, got 0"),
        (Attack, {"steps": 0}, "steps must be 1 or more, got 0"),
        (Attack, {"size": 0.0}, "size must be positive, got 0.0"),
        (Attack, {"start": "middle"}, "start 'middle' does not exist; allowed: centre, random"),
        (ReconstructionByDepth, {"points": 0}, "points must be 1 or more, got 0"),
    ],
)
def test_options_that_make_no_sense_are_told(analysis, options, said):
    with pytest.raises(ValueError, match=said):
        analysis.with_options(options)
