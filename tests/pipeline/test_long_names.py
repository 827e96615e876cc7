"""Pictures whose names are nearly as long as a file system allows, or that are no UTF-8, are restored."""

import os

import numpy as np
import pytest
from PIL import Image
from small_flow import small_flow

from pipeline.inference.restore import restore_file
from pipeline.model_folder import save_model
from pipeline.seeds import seed_of


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    flow = small_flow()
    return save_model(tmp_path_factory.mktemp("model"), flow.network, flow.config)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("x" * 235, False), ("é" * 120, False), (os.fsdecode(b"caf\xe9"), False), ("a\x1b[2J", False), ("Bild 1 é", True)],
    ids=range(5),
)
def test_a_picture_of_any_name_is_restored(model, tmp_path, name, kept):
    picture = tmp_path / f"{name}.png"
    with picture.open("wb") as file:
        Image.fromarray(np.full((4, 4, 3), 99, np.uint8)).save(file, format="PNG")
    (draw,) = restore_file(model, picture, tmp_path / "out", 1, 0.5, 10)
    assert draw.is_file() and draw.with_suffix(".json").is_file()
    assert draw.name.isprintable()
    assert (draw.name == f"{name}_draw_00.png") is kept


def test_a_seed_of_a_name_that_is_no_utf_8_differs_from_others():
    names = [os.fsdecode(b"caf\xe9"), os.fsdecode(b"caf\xe8"), "café"]
    assert len({seed_of("latent", name) for name in names}) == 3
    assert seed_of("latent", 10, "astronaut", 3) == 8604648386075572607  # as ever: default runs draw the same
