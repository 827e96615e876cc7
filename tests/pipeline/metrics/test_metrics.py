"""Metrics against numbers from outside: scikit-image, hand computation, torchmetrics' documentation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from skimage.metrics import peak_signal_noise_ratio

from pipeline.inference.brightness import brightness_gain
from pipeline.kinds import KINDS
from pipeline.metrics import METRICS, metrics_of
from pipeline.metrics.contract import ESTIMATES, DrawStatistics, NotComputable, Picture, example
from pipeline.metrics.diversity import diversity_score
from pipeline.metrics.errors import bad_draws
from pipeline.metrics.fidelity import PSNR_CAP, lr_psnr_of_draws, psnr, ssim_colour, ssim_grey
from pipeline.metrics.sharpness import gradient_magnitude

OF_EQUAL_PICTURES = {
    "lpips": 0.0,
    "diversity": 0.0,
    "lr_psnr_mean": PSNR_CAP,
    "lr_psnr_worst": PSNR_CAP,
    "psnr": PSNR_CAP,
    "ssim_colour": 1.0,
    **{f"psnr_{estimate}": PSNR_CAP for estimate in ESTIMATES},
    **{f"ssim_{form}_{estimate}": 1.0 for form in ("grey", "colour") for estimate in ESTIMATES},
}  # and 0 for everything that counts errors


def value(metric, picture):
    try:
        return metric.per_picture(picture)
    except NotComputable as reason:
        if str(reason) == picture.lpips:
            pytest.skip(str(reason))
        raise


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric(metric):
    good, bad = metric.example()
    before = good.reference.copy(), good.draws.copy()
    better, worse = value(metric, good), value(metric, bad)
    assert np.array_equal(good.reference, before[0])
    assert np.array_equal(good.draws, before[1])
    assert good.draws.dtype == np.uint8

    assert {"higher": better > worse, "lower": better < worse}[metric.better]
    equal = replace(
        good,
        draws=np.stack([good.reference] * 2),
        estimates=dict.fromkeys(ESTIMATES, good.reference),
        statistics=(DrawStatistics(0, 0), DrawStatistics(0, 0)),
        _results={},
    )
    assert value(metric, equal) == pytest.approx(OF_EQUAL_PICTURES.get(metric.name, 0.0), abs=1e-6)
    summary = metric.summarise([better, worse])
    assert all(type(number) is float and math.isfinite(number) for number in (better, worse, summary))


def test_a_kind_has_the_metrics_that_mean_something_there():
    assert all(metric.name == name for name, metric in METRICS.items())
    low_light, super_resolution = (metrics_of(KINDS[kind].aspect) for kind in ("low_light", "super_resolution"))
    assert not [name for name in low_light if "lr_psnr" in name]
    assert not [name for name in super_resolution if name.endswith("_gain")]
    assert set(low_light) | set(super_resolution) == set(METRICS)
    assert {f"{m}_{e}" for m in ("psnr", "ssim_grey", "ssim_colour", "lpips") for e in ESTIMATES} <= set(low_light)


def test_every_estimate_is_measured_by_itself(astronaut, blurred, alex):
    pictures = dict(zip(ESTIMATES, (blurred, blurred // 2, astronaut, blurred[::-1].copy()), strict=True))
    picture = Picture("a", astronaut, astronaut[None], pictures, 1, None, alex)
    for name, pixels in pictures.items():
        expected = (
            min(psnr(pixels, astronaut), PSNR_CAP),
            ssim_grey(pixels, astronaut),
            ssim_colour(pixels, astronaut),
        )
        found = [METRICS[f"{measure}_{name}"].per_picture(picture) for measure in ("psnr", "ssim_grey", "ssim_colour")]
        assert found == pytest.approx(expected)
        distance = picture.lpips.compare(pixels[None], astronaut).distance[0]
        assert METRICS[f"lpips_{name}"].per_picture(picture) == pytest.approx(distance, abs=1e-6)
    without = replace(picture, estimates={"draws_mean": blurred}, _results={})
    with pytest.raises(NotComputable, match="brightness"):
        METRICS["psnr_draws_mean_gain"].per_picture(without)
    assert METRICS["lpips_draws_mean"].per_picture(without) > 0


def test_the_gain_is_the_published_one():
    """Mean of the target in grey, with the weights of red and blue exchanged as released, over the output's mean."""
    target = torch.stack([torch.full((4, 6), level) for level in (1.0, 0.5, 0.25)])
    image = torch.full((3, 4, 6), 0.2)
    image[:, 0] = -0.4  # un-clamped: the mean is 0.05
    assert brightness_gain(image, target) == pytest.approx((0.114 * 1.0 + 0.587 * 0.5 + 0.299 * 0.25) / 0.05, rel=1e-6)
    for hopeless in (torch.zeros(3, 4, 6), -image, torch.full((3, 4, 6), math.nan), torch.full((3, 4, 6), math.inf)):
        assert brightness_gain(hopeless, target) is None


def test_summaries():
    assert METRICS["psnr"].summarise([1.0, 2.0, 6.0]) == 3.0
    assert METRICS["lr_psnr_worst"].summarise([50.0, 41.0, 45.0]) == 41.0
    assert METRICS["errors_lr_psnr_45"].summarise([1.0, 0.0, 1.0]) == 2.0


def test_pictures_of_another_type_or_size_are_refused():
    good, _ = example()
    with pytest.raises(ValueError, match="uint8"):
        replace(good, draws=good.draws.astype(np.float32))
    with pytest.raises(ValueError, match="do not match"):
        replace(good, draws=good.draws[:, :32])
    with pytest.raises(ValueError, match="estimate draws_mean"):
        replace(good, estimates={"draws_mean": good.reference[:32]})


def test_psnr_is_scikit_images(astronaut, blurred):
    assert psnr(blurred, astronaut) == pytest.approx(peak_signal_noise_ratio(astronaut, blurred), abs=1e-9)
    assert psnr(astronaut, astronaut) == math.inf


def test_ssim_is_the_colour_7x7_uniform_window_with_sample_covariance(astronaut, blurred):
    """Wang et al. (2004), equation 13, written out; pixels whose window crosses the border do not count."""

    def filtered(values):
        return uniform_filter(values, (7, 7, 0))

    x, y = astronaut.astype(np.float64), blurred.astype(np.float64)
    mean_x, mean_y, sample = filtered(x), filtered(y), 49 / 48
    var_x, var_y = sample * (filtered(x * x) - mean_x**2), sample * (filtered(y * y) - mean_y**2)
    covariance = sample * (filtered(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    local = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    local /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    assert ssim_colour(blurred, astronaut) == pytest.approx(local[3:-3, 3:-3].mean(), abs=1e-9)


def test_ssim_grey_is_that_of_bt_601_luma(astronaut, blurred):
    def grey(pixels):
        luma = (pixels.astype(float) @ [0.299, 0.587, 0.114] + 0.5).astype(np.uint8)
        return np.repeat(luma[..., None], 3, axis=2)

    assert ssim_grey(blurred, astronaut) == pytest.approx(ssim_colour(grey(blurred), grey(astronaut)), abs=1e-3)
    swapped = np.ascontiguousarray(astronaut[..., ::-1])
    assert ssim_grey(swapped, astronaut) > ssim_colour(swapped, astronaut) + 0.05  # hue hardly counts
    with pytest.raises(NotComputable, match="7x7"):
        ssim_grey(astronaut[:6], astronaut[:6])


def lr_psnr(image, reference, scale):
    return float(lr_psnr_of_draws(Picture("a", reference, image[None], {}, scale, None, "not needed"))[0])


@pytest.mark.parametrize("scale", [4, 8])
def test_lr_psnr_of_a_constant_shift_is_known_by_hand(scale):
    grey = np.full((48, 40, 3), 100, np.uint8)
    assert lr_psnr(grey + 1, grey, scale) == pytest.approx(20 * math.log10(255))  # error of one level
    assert lr_psnr(grey, grey, scale) == PSNR_CAP


def test_lr_psnr_ignores_what_lies_beyond_a_multiple_of_8(astronaut):
    reference = astronaut[:61, :70]
    image = reference.copy()
    image[56:], image[:, 64:] = 0, 255
    assert lr_psnr(image, reference, 4) == PSNR_CAP
    image[55] = 0
    assert lr_psnr(image, reference, 4) < 60


def test_lr_psnr_of_draws_is_lr_psnr_of_each(astronaut, blurred):
    picture = Picture("a", astronaut[:90], np.stack([blurred[:90], astronaut[6:]]), {}, 4, None, "not needed")
    each = [lr_psnr(draw, picture.reference, 4) for draw in picture.draws]
    assert METRICS["lr_psnr_mean"].per_picture(picture) == pytest.approx(np.mean(each))
    assert METRICS["lr_psnr_worst"].per_picture(picture) == pytest.approx(min(each))


def test_lr_psnr_rounds_after_each_dimension(astronaut):
    """A change of one value by one level is lost in rounding, as it is in MATLAB's uint8 imresize."""
    grey = np.full((32, 32, 3), 100, np.uint8)
    image = grey.copy()
    image[16, 16, 0] = 101
    assert lr_psnr(image, grey, 4) == PSNR_CAP


def test_diversity_by_hand():
    draws = np.array([[[0.2, 0.6]], [[0.6, 0.4]]])  # best draw: mean 0.4; best pixels: 0.2 and 0.4, mean 0.3
    assert diversity_score(draws) == pytest.approx(25.0)
    assert diversity_score(draws[[0, 0]]) == 0.0
    assert diversity_score(np.zeros((3, 4, 4))) == 0.0


def test_bad_draws_counts_nonfinite_values_by_themselves():
    assert bad_draws([DrawStatistics(0, 0), DrawStatistics(1, 0), DrawStatistics(0, 5), DrawStatistics(2, 2)]) == 3


def test_noise_on_one_picture_does_not_make_up_for_blur_on_another():
    metric = METRICS["gradient_log_ratio"]
    rows = np.arange(40, dtype=np.uint8)[:, None, None]
    reference, blurred, noisy = (np.tile(rows * step, (1, 40, 3)) for step in (2, 1, 4))
    ratios = [
        metric.per_picture(Picture("p", reference, draw[None], {}, 1, None, "not needed")) for draw in (blurred, noisy)
    ]
    assert ratios == pytest.approx([-math.log(2), math.log(2)])
    assert metric.summarise(ratios) == pytest.approx(math.log(2))
    flat = Picture("p", reference, np.zeros_like(reference)[None], {}, 1, None, "not needed")
    assert -math.inf < metric.per_picture(flat) < -7
    with pytest.raises(NotComputable, match="no gradients"):
        metric.per_picture(replace(flat, reference=flat.draws[0], _results={}))


def test_gradient_of_a_ramp():
    ramp = np.broadcast_to(np.arange(0, 60, 3, dtype=np.uint8)[None, :, None], (20, 20, 3))
    assert gradient_magnitude(ramp) == pytest.approx(3.0)
    assert gradient_magnitude(ramp + np.arange(0, 80, 4, dtype=np.uint8)[:, None, None]) == pytest.approx(5.0)
