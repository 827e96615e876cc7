"""``steadyflow evaluate``: a user's pictures, restored by a model folder and measured as the stages do."""

import errno
import json

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from upstream_cases import TINY

from pipeline import cli
from pipeline.commands import audit
from pipeline.commands.evaluation import evaluate_model
from pipeline.errors import CheckpointError, DataError, SteadyflowError
from pipeline.feed.darkening import darken
from pipeline.feed.degradations import low_resolution
from pipeline.files import read_csv, read_json, write_json
from pipeline.inference.reference_pairs import reference_pairs
from pipeline.inference.restore import restore_file
from pipeline.kinds import KINDS
from pipeline.metrics import metrics_of
from pipeline.metrics.fidelity import psnr
from pipeline.model_folder import load_flow
from pipeline.pictures.eight_bit import to_tensor
from pipeline.upstream import import_upstream

SR, LOW_LIGHT = KINDS["super_resolution"], KINDS["low_light"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return imported published networks, tiny and of random weights: 4x and low light."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("srflow_x4", "llflow"):
        (folder / "published" / name).mkdir(parents=True)
        import_upstream(*TINY[name].write(folder / "published" / name), folder / name)
    return folder


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)
    return path


@pytest.fixture
def photographs(tmp_path):
    """Return a folder of two photographs; the sides of the second are no multiples of 4."""
    save(tmp_path / "hr" / "a.png", data.astronaut()[100:148, 180:244])
    save(tmp_path / "hr" / "b.png", data.coffee()[100:151, 180:230])
    return tmp_path / "hr"


def small(pixels, scale=4):
    height, width = (side - side % scale for side in pixels.shape[:2])
    lr = low_resolution(to_tensor(pixels[:height, :width]), scale)
    return (255 * lr[0]).round().to(torch.uint8).permute(1, 2, 0).numpy()


def test_super_resolution_makes_its_own_input(models, photographs, tmp_path, capsys, alex):
    out = tmp_path / "out"
    found = evaluate_model(models / "srflow_x4", photographs, None, out, draws=2)
    content = read_json(out / "evaluation" / "metrics.json")
    assert (content["pictures"], content["draws"], content["variant"]) == (2, 2, "SRFlow")
    assert list(found.metrics) == list(metrics_of("draws")) and None not in found.metrics.values()
    assert [row["picture"] for row in read_csv(out / "evaluation" / "per_picture.csv")] == ["a", "b"]
    assert (out / "evaluation" / "grid.jpg").stat().st_size > 1000
    reference, cropped = (np.asarray(Image.open(out / "samples" / name / "reference.png")) for name in "ab")
    assert np.array_equal(reference, data.astronaut()[100:148, 180:244]) and cropped.shape == (48, 48, 3)
    assert np.array_equal(np.asarray(Image.open(out / "samples" / "a" / "input.png")), small(reference))
    draws = [np.asarray(Image.open(out / "samples" / "a" / f"draw_{i:02d}.png")) for i in range(2)]
    assert found.per_picture[0]["psnr"] == pytest.approx(np.mean([psnr(draw, reference) for draw in draws]))
    assert read_json(out / "samples" / "samples.json")["temperature"] == 0.9  # SRFlow's
    said = capsys.readouterr().out
    assert "2 pictures, 2 draws of each at temperature 0.9" in said
    for words in ("LPIPS", "PSNR", "SSIM", "worst LR-PSNR", "diversity", "pixel errors, of 2", "bicubic"):
        assert words in said


def test_an_input_that_is_given_is_the_one_restored(models, photographs, tmp_path):
    for name, side in (("a", ""), ("b", "x4")):  # DIV2K's names
        pixels = small(np.asarray(Image.open(photographs / f"{name}.png")))
        save(tmp_path / "lr" / f"{name}{side}.png", 255 - pixels if name == "a" else pixels)
    pairs = dict(reference_pairs(photographs, tmp_path / "lr", SR, 4))
    made = dict(reference_pairs(photographs, None, SR, 4))
    inverted, same = (SR.pair([to_tensor(side) for side in pairs[name]], 4)[1] for name in "ab")
    from_a, from_b = (SR.pair([to_tensor(side) for side in made[name]], 4)[1] for name in "ab")
    torch.testing.assert_close(inverted, 1 - from_a)
    assert torch.equal(same, from_b)
    written = evaluate_model(models / "srflow_x4", photographs / "b.png", tmp_path / "lr" / "bx4.png", tmp_path, 1)
    assert written.reasons["diversity"].endswith("needs two draws or more")


def test_low_light_pairs(models, tmp_path):
    lit = data.astronaut()[100:149, 180:232]
    save(tmp_path / "normal" / "normal00690.png", lit)
    save(tmp_path / "low" / "low00690.png", darken(lit, "a"))
    out = tmp_path / "out"
    found = evaluate_model(models / "llflow", tmp_path / "normal", tmp_path / "low", out)
    samples = read_json(out / "samples" / "samples.json")
    assert samples["temperature"] == 0.0  # LLFlow's, where one draw is all there is to see
    (picture,) = samples["pictures"]
    assert (picture["id"], len(picture["draws"])) == ("normal00690", 1)
    assert found.metrics["psnr_latent_mean"] == found.metrics["psnr_draws_mean"]
    assert set(found.metrics) == set(metrics_of("estimates"))
    ((_, sides),) = reference_pairs(tmp_path / "normal", tmp_path / "low", LOW_LIGHT, 1)
    assert np.array_equal(sides[1], darken(lit, "a")) and len(sides) == 3


def test_temperature_is_the_models_own(models, tmp_path, monkeypatch):
    picture = save(tmp_path / "low.png", darken(data.astronaut()[100:132, 180:212], "a"))
    assert len(restore_file(models / "llflow", picture, tmp_path / "one", None, None, 10)) == 1
    assert len(restore_file(models / "llflow", picture, tmp_path / "four", None, 1.0, 10)) == 4
    assert len(restore_file(models / "llflow", picture, tmp_path / "two", 2, None, 10)) == 2
    own = {name: load_flow(models / name).config.temperature for name in ("llflow", "srflow_x4")}
    assert own == {"llflow": 0.0, "srflow_x4": 0.9}
    asked = []
    monkeypatch.setattr(
        audit, "audit", lambda flow, crops, out, limits, seed, own: asked.append(limits.temperature) or {}
    )
    for temperature in (None, 0.5):
        audit.audit_model(models / "llflow", tmp_path / "audit", temperature)
    assert asked == [0.0, 0.5]


def test_a_folder_that_may_not_be_read(photographs, monkeypatch):
    def refuse(folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr("pipeline.inference.reference_pairs.picture_files", refuse)
    with pytest.raises(DataError, match="hr cannot be read: Permission denied"):
        reference_pairs(photographs, None, SR, 4)


@pytest.mark.parametrize(
    ("reference", "degraded", "said"),
    [
        ("nowhere", None, "--reference .*nowhere does not exist"),
        ("empty", None, "empty holds no pictures"),
        ("hr", "empty", "--input .*empty holds no pictures"),
        ("hr", "hr", r"2 of 2 pictures .* a.png: 48 x 64 needs an input of 12 x 16 \(scale 4\), but a.png is 48 x 64"),
        ("hr", "hr/a.png", "no partner of b.png"),
        ("hr/a.png", "hr", "--reference has no partner of b.png"),
        ("twice", None, "a.bmp, a.png share a name"),
        ("damaged", None, "1 of 2 pictures cannot be used: b.png: cannot be decoded"),
        ("hr/a.png", "damaged/b.png", "its input b.png: cannot be decoded"),
        ("dot", None, "2 x 2 is smaller than the scale 4"),
    ],
)
def test_faults_are_told_before_anything_is_restored(photographs, tmp_path, reference, degraded, said):
    pixels = np.asarray(Image.open(photographs / "a.png"))
    (tmp_path / "empty").mkdir()
    for name in ("twice/a.png", "twice/a.bmp", "damaged/a.png", "damaged/b.png"):
        save(tmp_path / name, pixels)
    broken = (tmp_path / "damaged" / "b.png").read_bytes()
    (tmp_path / "damaged" / "b.png").write_bytes(broken[: len(broken) // 2])
    save(tmp_path / "dot" / "dot.png", pixels[:2, :2])
    with pytest.raises(DataError, match=said):
        reference_pairs(tmp_path / reference, degraded and tmp_path / degraded, SR, 4)


def test_what_no_model_can_do(models, photographs, tmp_path):
    with pytest.raises(DataError, match="give the dark pictures with --input"):
        evaluate_model(models / "llflow", photographs, None, tmp_path / "out")
    with pytest.raises(SteadyflowError, match=r"a\.png cannot be written to"):
        evaluate_model(models / "srflow_x4", photographs, None, photographs / "a.png")
    with pytest.raises(SteadyflowError, match="did you mean 'floor'"):
        evaluate_model(models / "srflow_x4", photographs, None, tmp_path / "out", quantization="flor")
    encoder = json.loads((models / "srflow_x4" / "config.json").read_text(encoding="utf-8"))
    alone = {"kind": "super_resolution_encoder", "network": encoder["network"]["encoder"], "transform": {}}
    write_json(tmp_path / "encoder" / "config.json", encoder | alone)
    with pytest.raises(CheckpointError, match="an encoder alone"):
        evaluate_model(tmp_path / "encoder", photographs, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_picture_that_vanishes_is_one_line(photographs):
    pairs = reference_pairs(photographs, None, SR, 4)
    (photographs / "b.png").unlink()
    with pytest.raises(DataError, match=r"b\.png: does not exist"):
        list(pairs)


def test_the_command(models, photographs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pipeline.console.quiet_libraries", lambda: None)  # it would silence later tests
    command = ["evaluate", "--model", models / "srflow_x4", "--reference", photographs, "--out", tmp_path / "out"]
    for extra, code in (([], 2), (["--draws", "1", "--temperature", "0"], 0)):
        place = [*command[:4], tmp_path / "nowhere", *command[5:]] if code else command
        monkeypatch.setattr("sys.argv", ["steadyflow", *map(str, [*place, *extra])])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code == code
        shown = capsys.readouterr()
        assert len(shown.err.splitlines()) == (1 if code else 0), shown.err
    assert "at temperature 0" in shown.out and "metrics.json" in shown.out
