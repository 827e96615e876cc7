"""A picture that is faulty in any known way gets its clear line, in every layout."""

from __future__ import annotations

import os
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from source_trees import TREES, Photographs, faults, prepared, save

from pipeline.datasets.catalogue import DATASETS
from pipeline.feed.manifest import read_manifest
from pipeline.feed.shards import Pictures

OF_FILES = [name for name, tree in TREES.items() if tree.of_files]
PAIRS = [name for name, tree in TREES.items() if tree.pairs and tree.of_files]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "source"


def rewrite(path, mode=None, **options):
    image = Image.open(path)
    image.load()
    (image.convert(mode) if mode else image).save(path, **options)


def sixteen_bits(path):
    content = cv2.imread(str(path)).astype(np.uint16) * 257
    encoded = cv2.imencode(".png", content)[1]
    path.write_bytes(encoded.tobytes())


def transparent(path):
    image = Image.open(path).convert("RGBA")
    image.putpixel((3, 3), (10, 20, 30, 40))
    image.save(path, format="PNG")


def link_in_a_circle(path):
    path.unlink()
    path.symlink_to(path.name)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, *chunks):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def bomb_of_pixels(path):
    path.write_bytes(png(50_000, 50_000, chunk(b"IDAT", zlib.compress(bytes(1000)))))


def bomb_of_text(path):
    path.write_bytes(png(40, 40, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(5_000_000)))))


# What is done to one picture of the tree, and words of the line that tells it.
FILE_FAULTS = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-400]), "truncated or damaged"),
    "empty": (lambda path: path.write_bytes(b""), "not a picture of a known format"),
    "text": (lambda path: path.write_text("<html>404</html>"), "not a picture of a known format"),
    "small": (lambda path: save(path, Photographs().part(31, 31)), r"31 x 31"),
    "sixteen bits": (sixteen_bits, "16 bits per channel"),
    "transparent": (transparent, "transparent pixels"),
    "cmyk": (lambda path: rewrite(path, "CMYK", format="JPEG"), "CMYK"),
    "link in a circle": (link_in_a_circle, "link that leads in a circle"),
    "pipe": (pipe, "not a regular file"),
    "bomb of pixels": (bomb_of_pixels, "more than 100 million pixels"),
    "bomb of text": (bomb_of_text, "cannot be decoded"),
}


@pytest.mark.parametrize("fault", FILE_FAULTS)
@pytest.mark.parametrize("name", OF_FILES)
def test_a_picture_that_cannot_be_taken_gets_its_line(name, fault, root):
    tree = TREES[name]
    tree.make(root)
    spoil, words = FILE_FAULTS[fault]
    spoil(root / tree.victim)
    lines = faults(tree, root)
    own = [line for line in lines if line.strip().startswith(tree.victim)]
    assert len(own) == 1
    assert re.search(words, own[0])
    # a pair of which one side is too small also has sizes that don't match
    assert len(lines) == (2 if fault == "small" and tree.pairs else 1)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
@pytest.mark.parametrize("name", OF_FILES)
def test_what_is_safe_is_converted_and_noted(name, mode, root):
    tree = TREES[name]
    tree.make(root)
    # a JPEG has no palette and no alpha: such a file is then a PNG with another name
    rewrite(root / tree.victim, mode, format="JPEG" if mode == "L" and tree.victim.endswith("jpg") else "PNG")
    notes = read_manifest(prepared(tree, root)).notes
    assert any(note.startswith("1 converted: ") for note in notes)


@pytest.mark.parametrize("name", OF_FILES)
def test_a_rotation_by_exif_is_made(name, root):
    tree = TREES[name]
    tree.make(root)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = root / tree.victim
    rewrite(path, exif=exif, format="PNG")
    pixels = np.asarray(Image.open(path))
    manifest = prepared(tree, root)
    assert any("turned by its EXIF tag" in note for note in read_manifest(manifest).notes)
    split = "train" if tree.train else "validation"
    pictures = read_manifest(manifest).of(split)
    index = next(i for i, picture in enumerate(pictures) if picture.source == tree.victim)
    stored = Pictures(manifest, split).picture(index)
    margin = (pixels.shape[0] - stored.shape[0]) // 2, (pixels.shape[1] - stored.shape[1]) // 2
    upright = np.rot90(pixels, 2)[margin[0] :, margin[1] :]
    assert np.array_equal(stored, upright[: stored.shape[0], : stored.shape[1]])


@pytest.mark.parametrize("name", [name for name in TREES if TREES[name].train])
def test_a_picture_on_both_sides_of_the_split(name, root, capfd):
    tree = TREES[name]
    tree.make(root)
    victim, held_out = root / tree.victim, root / tree.held_out
    victim.write_bytes(held_out.read_bytes())
    if not tree.of_files and tree.pairs:  # the list of low-resolution pictures must stay as long
        low = [path.with_name(f"{path.stem}_X4.pklv4") for path in (victim, held_out)]
        low[0].write_bytes(low[1].read_bytes())
    if DATASETS[tree.data_set].published_duplicates:
        notes = read_manifest(prepared(tree, root)).notes
        assert any("are the same picture" in note for note in notes)
        assert "are the same picture" in capfd.readouterr().err
    else:
        lines = faults(tree, root)
        assert any("(validation) and" in line and "are the same picture" in line for line in lines)


@pytest.mark.parametrize("name", PAIRS)
def test_sizes_that_do_not_match_the_scale(name, root):
    tree = TREES[name]
    tree.make(root)
    save(root / tree.victim, Photographs().part(48, 72))
    (line,) = faults(tree, root)
    assert "does not match" in line
    assert tree.victim in line
    assert f"at scale {tree.scale}" in line


@pytest.mark.parametrize("name", PAIRS)
def test_a_picture_without_a_partner_is_named_and_left_out(name, root):
    tree = TREES[name]
    tree.make(root)
    victim = root / tree.victim
    victim.unlink()
    lines = faults(tree, root, allow_partial=False)
    number = str(int(re.search(r"(\d+)$", victim.stem).group(1)))
    assert any("missing" in line and number in line for line in lines)
    ids = [picture.id for picture in read_manifest(prepared(tree, root)).of("train")]
    assert len(ids) == len(tree.train) - 1
