"""Any folder of pictures, held out whole: textures, places, tiny ImageNet, or what a user wants to try."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.datasets.contract import DataSet, Listing, PictureSource, Wanted
from pipeline.datasets.photographs import PACKAGED_LICENCE, carrier_members, packaged_files
from pipeline.feed.manifest import Split
from pipeline.pictures.folders import safe_id, shown, walk_pictures

_TEXTURES: tuple[tuple[str, str, Split], ...] = tuple(
    ("skimage", f"data/{name}.png", "validation") for name in ("brick", "grass", "gravel")
)
_PLACES: tuple[tuple[str, str, Split], ...] = (
    ("sklearn", "datasets/images/china.jpg", "validation"),
    ("skimage", "data/rocket.jpg", "validation"),
)
_PLACES_OF_IMAGENET = ("imagenet_05_853.jpg", "imagenet_08_915.jpg", "imagenet_12_741.jpg")


def files_below(path: Path, called: str, listing: Listing) -> Iterator[tuple[str, Path]]:
    """Yield (name below ``path``, file) of all pictures there; faults go to ``listing``, each name after ``called``."""
    files, faults = walk_pictures(path)
    listing.faults.extend(f"{shown(called)}{fault}" for fault in faults)
    for file in files:
        name = file.relative_to(path).as_posix()
        if name.isprintable():
            yield name, file
        else:
            listing.faults.append(f"{shown(called + name)}: rename it; control characters are not allowed")


class PictureFolder(DataSet):
    """Every picture in a folder and the folders below it, all held out (an out-of-distribution set needs no training).

    The folder is laid out in any way, for example::

        images/banded/banded_0002.jpg        Describable Textures (Cimpoi et al., 2014)
        val_large/Places365_val_00000001.jpg Places (Zhou et al., 2017)
        val/images/val_0.JPEG                tiny ImageNet

    Names are the paths below the folder; characters that a folder name should not have become ``_``. Hidden files
    are left out; a link that leads in a circle is a fault. Pictures keep their size: who uses them crops or shrinks.
    """

    splits_needed = ("validation",)

    def folder(self, path: Path, wanted: Wanted) -> Listing:
        """Return all pictures in and below ``path``."""
        listing = Listing()
        for origin, file in files_below(path, "", listing):
            identity = safe_id(origin.replace("/", "-"))
            listing.pictures.append(PictureSource(identity, "validation", origin, file))
        return listing


class Textures(PictureFolder):
    """Describable Textures (DTD): 5,640 pictures in 47 folders. Demo: three grey textures inside scikit-image."""

    name = "textures"
    licence = "DTD: for research only (its authors' terms)"
    demo_licence = PACKAGED_LICENCE

    def demo(self) -> Listing:
        """Return brick, grass and gravel."""
        listing = packaged_files(_TEXTURES)
        listing.notes.append("demo: three textures inside scikit-image, not DTD")
        return listing


class Places(PictureFolder):
    """Places365, for example its validation set. Demo: five photographs of places."""

    name = "places"
    licence = "Places: for non-commercial research and education only (its authors' terms)"
    demo_licence = f"{PACKAGED_LICENCE}; ImageNet pictures that foolbox carries: for research (ImageNet's terms)"

    def demo(self) -> Listing:
        """Return photographs of places from the dependencies and from ImageNet."""
        listing = packaged_files(_PLACES)
        for member in carrier_members("imagenet_and_cifar", "imagenet_*.jpg"):
            if member.path.name in _PLACES_OF_IMAGENET:
                listing.pictures.append(PictureSource(member.path.stem, "validation", member.name, member.path))
        listing.notes.append("demo: photographs of places from other sets, not Places")
        return listing


class TinyImageNet(PictureFolder):
    """Tiny ImageNet: photographs of 64 x 64. Demo: 500 of them."""

    name = "tiny_imagenet"
    licence = "Tiny ImageNet: for non-commercial research (ImageNet's terms)"
    demo_licence = "500 pictures of Tiny ImageNet: for research (ImageNet's terms)"

    def demo(self) -> Listing:
        """Return the pictures of the carrier."""
        listing = Listing(notes=["demo: 500 pictures of Tiny ImageNet"])
        for member in carrier_members("tiny_imagenet", "*.npy"):
            pixels = np.load(member.path, allow_pickle=False)
            listing.pictures.append(PictureSource(safe_id(member.path.stem), "validation", member.name, pixels))
        return listing
