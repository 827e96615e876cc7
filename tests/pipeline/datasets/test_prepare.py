"""A source of pictures goes through ``prepare``: whole, faulty in every known way, killed half-way."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.config import Params
from pipeline.datasets.catalogue import DATASETS
from pipeline.datasets.prepare import prepare
from pipeline.errors import ConfigError, DataError
from pipeline.feed.shards import Pictures

TASK = "df2k_x4"
REPOSITORY = Path(__file__).resolve().parents[3]


def params_for(source="demo", allow_partial=True):
    raw = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    raw["profile"] = "smoke"  # training crop 32
    raw["datasets"]["df2k"] = {"source": str(source), "allow_partial": allow_partial}
    return Params.model_validate(raw)


@pytest.fixture(scope="session")
def photograph():
    demo = {picture.id: picture.content for picture in DATASETS["df2k"].demo().pictures}
    return np.asarray(Image.open(demo["coffee"]))


@pytest.fixture
def tree(tmp_path, photograph):
    """A miniature of the published folders with their true names, filled with parts of a photograph."""
    source = tmp_path / "DF2K"
    for number, name in enumerate(
        [f"DIV2K_train_HR/{n:04d}.png" for n in (1, 2, 800)]
        + [f"Flickr2K_HR/{n:06d}.png" for n in (1, 2650)]
        + [f"DIV2K_valid_HR/{n:04d}.png" for n in (801, 900)]
    ):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph[40 * number : 40 * number + 40, 50 : 110 + number]).save(path)
    return source


def content(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_demo_pictures_are_those_of_the_files(tmp_path, photograph):
    validation = Pictures(prepare(TASK, params_for(), tmp_path), "validation")
    assert np.array_equal(validation.picture(validation.ids.index("coffee")), photograph)


def test_the_published_folders(tree, tmp_path, photograph):
    path = prepare(TASK, params_for(tree), tmp_path)
    train, validation = Pictures(path, "train"), Pictures(path, "validation")
    assert train.ids == ["div2k-0001", "div2k-0002", "div2k-0800", "flickr2k-000001", "flickr2k-002650"]
    assert validation.ids == ["div2k-0801", "div2k-0900"]
    assert np.array_equal(train.picture(1), photograph[40:80, 50:111])
    assert str(tmp_path) not in path.read_text()


def test_one_level_deeper_and_relative_to_the_root(tree, tmp_path):
    for name in ("DIV2K", "Flickr2K"):
        (tree / name).mkdir()
        for folder in list(tree.glob(f"{name}_*")):
            folder.rename(tree / name / folder.name)
    assert len(Pictures(prepare(TASK, params_for("DF2K"), tmp_path), "train")) == 5


def test_a_missing_folder_names_the_key(tmp_path):
    with pytest.raises(
        DataError, match=r"^datasets\.df2k\.source in params\.yaml is '/no/where', .* 'demo'.*$"
    ) as told:
        prepare(TASK, params_for("/no/where"), tmp_path)
    assert "\n" not in str(told.value)
    with pytest.raises(ConfigError, match="did you mean 'df2k_x4'"):
        prepare("df2k_x4_", params_for(), tmp_path)


def test_what_a_complete_source_has_is_missed_unless_partial_is_allowed(tree, tmp_path):
    (tree / "Flickr2K_HR").rename(tree / "elsewhere")
    with pytest.raises(DataError) as told:
        prepare(TASK, params_for(tree, allow_partial=False), tmp_path)
    lines = str(told.value).splitlines()
    assert len(lines) == 4
    assert "797 of 800 pictures (0003.png, 0004.png," in lines[1]
    assert "folder Flickr2K_HR (2650 pictures)" in lines[2]
    assert all("datasets.df2k.allow_partial: true" in line for line in lines[1:])
    manifest = prepare(TASK, params_for(tree), tmp_path).read_text()
    assert "left out: folder Flickr2K_HR" in manifest


def replace(path, pixels=None, mode=None, **options):
    image = Image.open(path) if pixels is None else Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)


def sixteen_bits(path):
    cv2.imwrite(str(path), cv2.imread(str(path)).astype(np.uint16) * 257)


def transparent(path):
    image = Image.open(path).convert("RGBA")
    image.putpixel((3, 3), (10, 20, 30, 40))
    image.save(path)


# What is done to DIV2K_train_HR/0002.png, and words of the line that tells it.
FAULTS = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-400]), "truncated or damaged"),
    "empty": (lambda path: path.write_bytes(b""), "not a picture of a known format"),
    "text": (lambda path: path.write_text("Not found"), "not a picture of a known format"),
    "script": (lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n"), "not a picture of a known format"),
    "small": (lambda path: replace(path, np.zeros((31, 90, 3), np.uint8)), "31 x 90 is smaller than the training crop"),
    "sixteen bits": (sixteen_bits, "16 bits per channel"),
    "sixteen bits grey": (lambda path: replace(path, np.full((40, 40), 40000, np.uint16)), "16 bits per channel"),
    "transparent": (transparent, "transparent pixels"),
    "cmyk": (lambda path: replace(path, mode="CMYK", format="JPEG"), "CMYK"),
    "animated": (
        lambda path: replace(
            path, np.zeros((40, 40, 3), np.uint8), save_all=True,
            append_images=[Image.fromarray(np.full((40, 40, 3), 9, np.uint8))],
        ),
        "2 frames",
    ),
    "stranger": (lambda path: path.rename(path.with_name("2000.png")), "not part of the set (2000.png)"),
    "in both splits": (
        lambda path: path.write_bytes((path.parent.parent / "DIV2K_valid_HR" / "0801.png").read_bytes()),
        "DIV2K_valid_HR/0801.png (validation) and DIV2K_train_HR/0002.png (training) are the same picture",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_gets_its_line_and_nothing_is_published(fault, tree, tmp_path):
    spoil, words = FAULTS[fault]
    spoil(tree / "DIV2K_train_HR" / "0002.png")
    with pytest.raises(DataError) as told:
        prepare(TASK, params_for(tree), tmp_path)
    headline, line = str(told.value).splitlines()
    assert "1 fault;" in headline
    assert words in line
    assert not (tmp_path / "data" / "prepared" / TASK).exists()


def test_all_faults_are_told_at_once_and_mending_them_is_enough(tree, tmp_path):
    names = ["DIV2K_train_HR/0001.png", "DIV2K_train_HR/0800.png", "Flickr2K_HR/000001.png"]
    kept = {name: (tree / name).read_bytes() for name in names}
    for name, fault in zip(names, ("truncated", "small", "cmyk"), strict=True):
        FAULTS[fault][0](tree / name)
    with pytest.raises(DataError) as told:
        prepare(TASK, params_for(tree), tmp_path)
    headline, *lines = str(told.value).splitlines()
    assert "3 faults" in headline
    assert [line.split(":")[0].strip() for line in lines] == names
    for name, file in kept.items():
        (tree / name).write_bytes(file)
    assert len(Pictures(prepare(TASK, params_for(tree), tmp_path), "train")) == 5


CONVERSIONS = {
    "grey": (lambda path: replace(path, mode="L"), "1 converted: grey"),
    "palette": (lambda path: replace(path, mode="P"), "1 converted: palette"),
    "opaque alpha": (lambda path: replace(path, mode="RGBA"), "1 converted: opaque alpha dropped"),
}


@pytest.mark.parametrize("kind", CONVERSIONS)
def test_what_is_safe_is_converted_and_noted(kind, tree, tmp_path):
    convert, note = CONVERSIONS[kind]
    path = tree / "DIV2K_train_HR" / "0002.png"
    convert(path)
    expected = np.asarray(Image.open(path).convert("RGB"))
    manifest = prepare(TASK, params_for(tree), tmp_path)
    assert note in manifest.read_text()
    assert np.array_equal(Pictures(manifest, "train").picture(1), expected)


def test_an_exif_rotation_turns_the_pixels(tree, tmp_path):
    path = tree / "DIV2K_train_HR" / "0002.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees clockwise
    upside = np.asarray(Image.open(path))
    replace(path, exif=exif)
    manifest = prepare(TASK, params_for(tree), tmp_path)
    assert "1 converted: turned by its EXIF tag" in manifest.read_text()
    assert np.array_equal(Pictures(manifest, "train").picture(1), np.rot90(upside, -1))


KILLED = """
import os, signal, sys
sys.path[:0] = [{tests!r}, {helpers!r}]
from pathlib import Path
import pipeline.datasets.prepare as module
from test_prepare import TASK, params_for
real, count = module.ShardWriter.add, [0]
def add(self, *args, **fields):
    count[0] += 1
    real(self, *args, **fields)
    if count[0] == {stop}:
        os.kill(os.getpid(), signal.SIGKILL)
module.ShardWriter.add = add
module.prepare(TASK, params_for({source!r}), Path({root!r}), shard_bytes=12000)
"""


@pytest.mark.parametrize("stop", [3, 6])
def test_a_killed_preparation_continues_and_ends_byte_identical(stop, tree, tmp_path, monkeypatch):
    whole = content(prepare(TASK, params_for(tree), tmp_path / "whole", shard_bytes=12000).parent)
    assert len(whole) > 3  # several shards
    places = {"tests": str(Path(__file__).parent), "helpers": str(REPOSITORY / "tests" / "helpers")}
    script = KILLED.format(stop=stop, source=str(tree), root=str(tmp_path / "cut"), **places)
    killed = subprocess.run(
        [sys.executable, "-c", script], check=False, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
    )
    assert killed.returncode == -signal.SIGKILL
    prepared = tmp_path / "cut" / "data" / "prepared"
    assert [path.name for path in prepared.iterdir()] == [f".{TASK}.partial"]

    import pipeline.datasets.check as module

    decoded = []
    real = module.decode
    monkeypatch.setattr(module, "decode", lambda file: decoded.append(file) or real(file))
    assert content(prepare(TASK, params_for(tree), tmp_path / "cut", shard_bytes=12000).parent) == whole
    assert 0 < len(decoded) < 7  # what was whole is not read again
    assert [path.name for path in prepared.iterdir()] == [TASK]


def test_a_stage_says_its_fault_in_one_line(tmp_path):
    raw = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    raw["datasets"]["df2k"]["source"] = "pictures"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    command = [sys.executable, "-m", "stages.prepare", "--task", TASK]
    ended = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("error: datasets.df2k.source in params.yaml is 'pictures'")
