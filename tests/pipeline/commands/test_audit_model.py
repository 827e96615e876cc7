"""steadyflow stability: which analyses, a user's own pictures, and the verdict at the end."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from small_flow import small_flow

from pipeline.commands.audit import audit_model
from pipeline.commands.own_inputs import own_inputs
from pipeline.errors import ConfigError, DataError
from pipeline.kinds import KINDS
from pipeline.model_folder import save_model
from pipeline.stability.analyses import ANALYSES

CPU = torch.device("cpu")
SR = KINDS["super_resolution"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return a model folder."""
    folder = tmp_path_factory.mktemp("model")
    flow = small_flow()
    save_model(folder, flow.network, flow.config)
    return folder


def picture(path, height=12, width=10, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def test_own_pictures_are_audited_beside_the_stress_inputs(model, tmp_path, capsys):
    picture(tmp_path / "mine" / "a.png")
    picture(tmp_path / "mine" / "my\nholiday;rm -rf.png")
    (tmp_path / "mine" / "lie.png").write_text("no picture")
    (tmp_path / "mine" / "note.txt").write_text("not asked")
    summary = audit_model(model, tmp_path / "out", None, ["bad_pixels"], tmp_path / "mine")
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "warning: lie.png is left out: not a picture of a known format (PNG, JPEG, BMP, TIFF, WEBP)"
    ]
    assert any(line.startswith("verdict: ") for line in told.out.splitlines())
    with (tmp_path / "out" / "stress.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    own = [name for name, row in rows.items() if row["kind"] == "own"]
    assert own[0] == "own_a" and own[1].startswith("own_my_holiday_rm_-rf-") and "binary_noise_1" in rows
    assert all((tmp_path / "out" / "stress" / f"{name}.png").is_file() for name in own)
    assert int(rows["own_a"]["values"]) == 4 * 3 * 12 * 4 * (10 * 4)  # 4 draws, 4x; both sides are even
    assert list(summary["analyses"]) == ["bad_pixels"]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["verdict"] == summary["verdict"]


def test_large_pictures_are_cropped_in_their_centre(tmp_path, capsys):
    pixels = picture(tmp_path / "large.png", 200, 90)
    (found,) = own_inputs(tmp_path / "large.png", SR, CPU)
    assert np.array_equal((found.seen[0] * 255).round().byte().permute(1, 2, 0).numpy(), pixels[52:148])
    assert "1 of 1 own pictures are larger than 96 pixels" in capsys.readouterr().out


def test_a_histogram_is_equalized_before_the_crop(tmp_path):
    pixels = picture(tmp_path / "dark.png", 120, 120)
    (found,) = own_inputs(tmp_path, KINDS["low_light"], CPU)
    whole = KINDS["low_light"].from_picture(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    assert torch.equal(found.seen, whole[:, :, 12:108, 12:108])


def test_a_broken_picture_or_a_missing_folder_is_one_line(tmp_path, capsys):
    with pytest.raises(DataError, match=r"--inputs .*nowhere does not exist; give a folder of pictures"):
        own_inputs(tmp_path / "nowhere", SR, CPU)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"--inputs .*empty holds no pictures"):
        own_inputs(tmp_path / "empty", SR, CPU)
    (tmp_path / "empty" / "text.png").write_text("text")
    with pytest.raises(DataError, match=r"none of 1 pictures can be read"):
        own_inputs(tmp_path / "empty", SR, CPU)
    assert "text.png is left out" in capsys.readouterr().err


def test_an_unknown_analysis_is_told_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match="'bad_pixel' does not exist; did you mean 'bad_pixels'"):
        audit_model(tmp_path / "no model", tmp_path / "out", None, ["bad_pixel"])
    assert not (tmp_path / "out").exists()


def test_all_is_every_analysis(model, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("pipeline.commands.audit.audit", lambda flow, crops, out, limits, *_, **__: seen.append(limits))
    audit_model(model, tmp_path, None, ["all"])
    assert list(seen[0].analyses) == list(ANALYSES)
