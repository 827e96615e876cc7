"""The evaluation of a samples folder, as the stage runs it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipeline.carriers import package_index
from pipeline.errors import DataError
from pipeline.files import read_csv, read_json, write_json
from pipeline.kinds import KINDS
from pipeline.metrics import metrics_of
from pipeline.metrics.evaluate import evaluate
from pipeline.metrics.fidelity import psnr


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
    origin = {"task": task, "variant": "affine", "profile": "smoke", "run_key": "k"}
    content = {**origin, "kind": kind, "aspect": KINDS[kind].aspect, "scale": scale}
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
    assert found.baseline["gradient_log_ratio"] > found.metrics["gradient_log_ratio"] > 0
    assert found.baseline["lpips"] == pytest.approx(
        np.mean(
            [
                alex.compare(np.array(Image.open(samples / n / "baseline.png"))[None], reference).distance[0]
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
    assert set(rows[0]) == {"picture", *metrics_of("draws")}


def test_evaluation_of_low_light(tmp_path, astronaut, blurred, alex):
    folder = write_samples_folder(tmp_path / "samples", astronaut, blurred, "low_light")
    found = evaluate(folder, "lol", "affine")
    assert set(found.metrics) == set(found.baseline) == set(metrics_of("estimates"))
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
