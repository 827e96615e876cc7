"""DF2K: the photographs of DIV2K and Flickr2K together, for super-resolution."""

from __future__ import annotations

from pathlib import Path

from pipeline.datasets.contract import DataSet, Listing, PictureSource
from pipeline.datasets.manifest import Split

# Package, file below it, split. One scene never stands on both sides.
_DEMO: tuple[tuple[str, str, Split], ...] = (
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

# Folder names that are in use, split, number of pictures, digits of the file names, first number.
_FOLDERS: tuple[tuple[tuple[str, ...], str, Split, int, int, int], ...] = (
    (("DIV2K_train_HR", "DIV2K/DIV2K_train_HR"), "div2k", "train", 800, 4, 1),
    (("Flickr2K_HR", "Flickr2K/Flickr2K_HR"), "flickr2k", "train", 2650, 6, 1),
    (("DIV2K_valid_HR", "DIV2K/DIV2K_valid_HR"), "div2k", "validation", 100, 4, 801),
)
_SHOWN = 5  # names of missing files in one message


class DF2K(DataSet):
    """DIV2K (Agustsson and Timofte, 2017) and Flickr2K (Lim et al., 2017): 3,450 for training, 100 held out.

    The folder, as the archives unpack (or each of the two one level deeper, in ``DIV2K/`` and ``Flickr2K/``)::

        DIV2K_train_HR/0001.png ... 0800.png       training
        Flickr2K_HR/000001.png ... 002650.png      training
        DIV2K_valid_HR/0801.png ... 0900.png       validation

    The demo source are colour photographs inside scikit-image and scikit-learn, split by photograph. Left out:
    hubble_deep_field (83 % of it is black sky: flat patches, whose density has no upper limit, would rule the
    likelihood), retina (a quarter is black frame, the rest nearly without texture) and color (a colour wheel,
    made by a program). ihc stays: a photograph through a microscope, sharp and textured everywhere. The two
    motorcycle pictures are one scene from two places, so both are in training. Validation has a close-up, a
    landscape with a building, and an interior.
    """

    name = "df2k"
    licence = (
        "DIV2K: for academic research only, copyrights of the pictures stay with their owners. "
        "Flickr2K: pictures under the licences that their authors chose on Flickr; research use."
    )
    demo_licence = (
        "scikit-image sample pictures (public domain or CC0, see skimage.data); "
        "scikit-learn sample pictures china.jpg and flower.jpg (CC BY 2.0, danielbuechele and vultilion on Flickr)"
    )

    def demo(self) -> Listing:
        """Return the photographs inside the installed scikit-image and scikit-learn; nothing is downloaded."""
        pictures, faults = [], []
        for package, file, split in _DEMO:
            path = _package_folder(package) / file
            if not path.is_file():
                faults.append(f"{package}/{file} is not in the installed {package}; install scikit-image < 0.28")
            pictures.append(PictureSource(path.stem, split, f"{package}/{file}", path))
        return Listing(pictures, faults, notes=["demo: photographs inside scikit-image and scikit-learn, not DF2K"])

    def folder(self, path: Path) -> Listing:
        """Return the PNG files of the three folders; numbers that a complete set has are missing if absent."""
        listing = Listing([])
        for names, prefix, split, count, digits, first in _FOLDERS:
            found = next((path / name for name in names if (path / name).is_dir()), None)
            if found is None:
                listing.missing.append(f"folder {names[0]} ({count} pictures)")
                continue
            files = {f"{number:0{digits}d}": None for number in range(first, first + count)}
            present = {file.stem: file for file in found.iterdir() if file.suffix.lower() == ".png"}
            lacking = [name for name in files if name not in present]
            if lacking:
                listing.missing.append(f"{names[0]}: {len(lacking)} of {count} pictures ({_abridged(lacking)})")
            unknown = sorted(set(present) - set(files))
            if unknown:
                listing.faults.append(
                    f"{names[0]}: files that are not part of the set ({_abridged(unknown)}); "
                    f"expected {first:0{digits}d}.png to {first + count - 1:0{digits}d}.png"
                )
            for name in (name for name in files if name in present):
                origin = present[name].relative_to(path).as_posix()
                listing.pictures.append(PictureSource(f"{prefix}-{name}", split, origin, present[name]))
        return listing


def _abridged(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(name + ".png" for name in names[:_SHOWN]) + more


def _package_folder(package: str) -> Path:
    """Return the folder of an installed package without importing it."""
    from importlib.util import find_spec

    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return Path(package)  # not installed: its files are then reported as missing
    return Path(next(iter(spec.submodule_search_locations)))
