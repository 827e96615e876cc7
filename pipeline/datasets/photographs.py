"""Real photographs for the demo sources: inside the dependencies, or fetched by hash as data."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from pipeline.carriers.carriers import carrier_folder
from pipeline.datasets.contract import Listing, PictureSource
from pipeline.feed.manifest import Split

PACKAGED_LICENCE = (
    "scikit-image sample pictures (public domain or CC0, see skimage.data); "
    "scikit-learn sample pictures china.jpg and flower.jpg (CC BY 2.0, danielbuechele and vultilion on Flickr)"
)

# Package, file below it, split. One scene never stands on both sides.
_PACKAGED: tuple[tuple[str, str, Split], ...] = (
    ("skimage", "data/astronaut.png", "train"),
    ("skimage", "data/ihc.png", "train"),
    ("skimage", "data/motorcycle_left.png", "train"),
    ("skimage", "data/motorcycle_right.png", "train"),
    ("skimage", "data/rocket.jpg", "train"),
    ("sklearn", "datasets/images/flower.jpg", "train"),
    ("skimage", "data/chelsea.png", "validation"),
    ("sklearn", "datasets/images/china.jpg", "validation"),
    ("skimage", "data/coffee.png", "validation"),
)


class Member(NamedTuple):
    """One file of a carrier: its path, its name in the carrier, and its place among the wanted ones."""

    path: Path
    name: str
    place: int


def packaged_photographs() -> Listing:
    """Return the colour photographs inside the installed scikit-image and scikit-learn; nothing is downloaded.

    Left out: hubble_deep_field (83 % of it is black sky: flat patches, whose density has no upper limit, would
    rule the likelihood), retina (a quarter is black frame, the rest nearly without texture) and color (a colour
    wheel, made by a program). ihc stays: a photograph through a microscope, sharp and textured everywhere. The
    two motorcycle pictures are one scene from two places, so both are in training. Validation has a close-up, a
    landscape with a building, and an interior.
    """
    return packaged_files(_PACKAGED)


def packaged_files(files: tuple[tuple[str, str, Split], ...]) -> Listing:
    """Return files (package, path below it, split) of installed packages; one that is not there is a fault."""
    listing = Listing()
    for package, file, split in files:
        path = package_folder(package) / file
        if not path.is_file():
            listing.faults.append(
                f"{package}/{file} is not in the installed {package}; install the versions of pyproject.toml"
            )
        listing.pictures.append(PictureSource(path.stem, split, f"{package}/{file}", path))
    return listing


def carrier_members(carrier: str, pattern: str) -> list[Member]:
    """Return the members of ``carrier`` whose name matches the glob ``pattern``, in order of their names."""
    folder = carrier_folder(carrier)
    found = sorted(folder.rglob(pattern))
    return [Member(path, path.relative_to(folder).as_posix(), place) for place, path in enumerate(found)]


def package_folder(package: str) -> Path:
    """Return the folder of an installed package without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return Path(package)  # not installed: its files are then reported as missing
    return Path(next(iter(spec.submodule_search_locations)))
