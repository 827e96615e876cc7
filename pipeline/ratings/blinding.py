"""What raters see and what only the key knows: which restoration hides behind which random name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import pydantic

from pipeline.errors import DataError
from pipeline.metrics.samples import SampledPicture, Samples, load_samples

KEY_FILE = "key.json"
Check = Literal["", "clean", "broken"]  # an attention check, and what is to be seen on it
WHAT = ("draws", "draws_mean", "latent_mean")  # what of a restored picture can be rated


class Restoration(NamedTuple):
    """One restoration of one held-out picture, with the pictures that stand beside it."""

    variant: str
    picture: str  # id of the held-out picture
    folder: Path  # of the samples, where the files are
    file: str
    input: str
    reference: str


class Blinded(pydantic.BaseModel):
    """One picture that is rated, under its random ``name``; a check has no variant."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str = pydantic.Field(pattern=r"^[0-9a-f]{16}$")
    variant: str = ""
    picture: str = ""
    sha256: str = ""  # of the restoration's file in the samples folder
    check: Check = ""


class Key(pydantic.BaseModel):
    """Content of key.json, which no rater may see."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    export: str = pydantic.Field(pattern=r"^[0-9a-f]{16}$")  # CSVs name it: answers of another export are refused
    task: str
    seed: int
    what: Literal["draws", "draws_mean", "latent_mean"]
    pictures: list[Blinded] = pydantic.Field(min_length=1)

    @pydantic.model_validator(mode="after")
    def _names_are_distinct(self) -> Key:
        if len({picture.name for picture in self.pictures}) < len(self.pictures):
            raise ValueError("a name stands twice")
        return self


def read_key(folder: Path) -> Key:
    """Return the key of an export. Raises DataError if there is none or it cannot be read."""
    path = folder / KEY_FILE
    try:
        return Key.model_validate_json(path.read_bytes())
    except OSError as error:
        why = error.strerror
        raise DataError(f"{path} cannot be read ({why}); give the folder that `ratings export` wrote") from None
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"]) or "file"
        raise DataError(f"{path}: {where}: {fault['msg'].lower()}; take the file that `ratings export` wrote") from None


def restorations(folders: dict[str, Path], task: str, what: str, draws: int) -> list[Restoration]:
    """Return what is to be rated of ``folders`` (variant -> samples folder): ``draws`` draws, or one estimate.

    Raises DataError for samples that are missing, damaged or of different pictures.
    """
    found: list[Restoration] = []
    ids: dict[str, list[str]] = {}
    for variant, folder in folders.items():
        samples = load_samples(folder, task, variant)
        ids[variant] = [picture.id for picture in samples.pictures]
        found += _of_variant(samples, folder, what, draws)
    first = next(iter(ids))
    for variant, pictures in ids.items():
        if pictures != ids[first]:
            raise DataError(f"{variant} restored other pictures than {first}; run the sample stage of both again")
    return found


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def default_what(folder: Path, task: str, variant: str) -> str:
    """Return what papers judge of this kind: the mean of the draws in low light, else draws."""
    return "draws_mean" if load_samples(folder, task, variant).aspect == "estimates" else "draws"


def _of_variant(samples: Samples, folder: Path, what: str, draws: int) -> Iterator[Restoration]:
    for picture in samples.pictures:
        for file in _files(picture, what, draws):
            yield Restoration(samples.variant, picture.id, folder, file, picture.input, picture.reference)


def _files(picture: SampledPicture, what: str, draws: int) -> Sequence[str]:
    if what == "draws":
        return [draw.file for draw in picture.draws[:draws]]
    return [picture.draws_mean if what == "draws_mean" else picture.latent_mean]
