"""Write a folder that raters get, and the key that they do not."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import DataError
from pipeline.files import write_json, write_text
from pipeline.pictures.decode import read_picture
from pipeline.pictures.eight_bit import write_png
from pipeline.ratings.blinding import KEY_FILE, Blinded, Key, Restoration, hash_of
from pipeline.ratings.checks import CHECKS

FOR_RATERS = "for_raters"
_QUESTION = "Does this picture have an artifact: a patch, colours or noise that cannot belong to the scene?"


def export(
    found: Sequence[Restoration], task: str, seed: int, what: str, out: Path, checks: int, truth: bool
) -> tuple[Path, Key]:
    """Write ``out``: for_raters/ with index.html and pictures/ under random names, and key.json; return page and key.

    ``checks``: how many attention checks of each sort. ``truth``: the original stands beside what is rated. Raises
    DataError where ``out`` holds an export already: its key must not be lost.
    """
    if (out / KEY_FILE).exists():
        raise DataError(f"{out / KEY_FILE} is there already: an export with answers to come; give another folder")
    pictures = out / FOR_RATERS / "pictures"
    blinded = [_restoration(one, pictures, truth) for one in found]
    blinded += _checks(found, pictures, checks, truth)
    order = np.random.default_rng(secrets.randbits(64)).permutation(len(blinded))
    entries = [blinded[place] for place in order]  # the order of files and page says nothing
    named = {"format": 1, "export": secrets.token_hex(8), "task": task, "seed": seed, "what": what}
    key = Key.model_validate({**named, "pictures": [entry.model_dump() for entry in entries]})
    page = write_text(out / FOR_RATERS / "index.html", _page(key, truth))
    write_json(out / KEY_FILE, key.model_dump())
    return page, key


def _restoration(one: Restoration, folder: Path, truth: bool) -> Blinded:
    name = secrets.token_hex(8)
    write_png(folder / f"{name}.png", read_picture(one.folder, one.file))  # written anew: no date or text goes along
    _beside(folder, name, one, truth)
    return Blinded(name=name, variant=one.variant, picture=one.picture, sha256=hash_of(one.folder / one.file))


def _checks(found: Sequence[Restoration], folder: Path, count: int, truth: bool) -> list[Blinded]:
    source = np.random.default_rng(secrets.randbits(64))
    originals = list({one.picture: one for one in found}.values())
    blinded = []
    for sort, make in CHECKS.items():
        for number in range(count):
            one, name = originals[number % len(originals)], secrets.token_hex(8)
            write_png(folder / f"{name}.png", make(read_picture(one.folder, one.reference), source))
            _beside(folder, name, one, truth)
            blinded.append(Blinded(name=name, check=sort))
    return blinded


def _beside(folder: Path, name: str, one: Restoration, truth: bool) -> None:
    write_png(folder / f"{name}_input.png", read_picture(one.folder, one.input))
    if truth:
        write_png(folder / f"{name}_truth.png", read_picture(one.folder, one.reference))


def _page(key: Key, truth: bool) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.ratings", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    task = {"export": key.export, "pictures": [picture.name for picture in key.pictures], "truth": truth}
    return environment.get_template("page.html.j2").render(question=_QUESTION, task=task)
