"""Small pictures that studies train on: scikit-learn's digits, inside the dependencies, or CIFAR-10 from a folder.

Pictures are whole numbers of grey (or colour) levels, 0 to levels - 1. A density needs points of the continuum:

    x = (q + u) / levels, u ~ U[0, 1)      ("uniform dequantization"; x in [0, 1))

The cell of q has volume levels^-D for D values, so that by Jensen -log2 P(q) <= E[-log2 p(x)] + D log2(levels), P(q)
being the mass of p in the cell, with equality if p is constant in it. Per value that bound is ``bits_per_dim``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.console import warn
from pipeline.datasets.digits import BRIGHTEST, scanned_digits
from pipeline.errors import DataError
from pipeline.seeds import generator
from pipeline.studies.sources import DIGITS, check_source

_DIGITS_HELD_OUT = 297  # of 1,797
_SHOWN = 5  # faults in one message


class Pictures(NamedTuple):
    """Pictures of one size, ``(N, C, H, W)`` uint8 below ``levels``, and their classes ``(N,)`` int64."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    levels: int
    classes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C, H, W)."""
        channels, height, width = self.train.shape[1:]
        return channels, height, width


def small_pictures(source: str = DIGITS) -> Pictures:
    """Return the pictures of ``source``: "digits", or a folder of CIFAR-10 (pipeline/datasets/sets/cifar10.py).

    Digits are 8 x 8, of one channel and 17 levels; 297 of the 1,797 are held out, drawn at random, so that the same
    hands wrote both parts. CIFAR-10 is 32 x 32, of three channels and 256 levels, with its own split; one that is
    not whole is used and warned of. Raises DataError if there is no such folder, or nothing or not all can be read.
    """
    check_source(source)
    return _digits() if source == DIGITS else _cifar10(Path(source).expanduser())


def dequantize(pictures: Tensor, levels: int, source: torch.Generator) -> Tensor:
    """Return whole numbers ``(B, C, H, W)`` as float32 points of their cells in [0, 1), noise from ``source``."""
    noise = torch.rand(pictures.shape, generator=source)
    return ((pictures + noise) / levels).clamp(max=1.0 - 2.0**-24)  # the sum may round up to the next whole number


def bits_per_dim(log_likelihood: Tensor, values: int, levels: int) -> Tensor:
    """Return bits per value, ``(B,)``, from log p(x) ``(B,)`` in nats of pictures of so many values in [0, 1).

    The module says what it bounds. p is a density of x in [0, 1), or moved by a constant: a range of another length
    needs another constant.
    """
    return -log_likelihood.double() / (values * math.log(2.0)) + math.log2(levels)


def _digits() -> Pictures:
    values, shown = scanned_digits()
    pictures, labels = torch.from_numpy(values.astype(np.uint8))[:, None], torch.from_numpy(shown)
    order = torch.randperm(len(pictures), generator=generator("small pictures", "digits", "held out"))
    test, train = order[:_DIGITS_HELD_OUT], order[_DIGITS_HELD_OUT:]
    return Pictures(pictures[train], labels[train], pictures[test], labels[test], BRIGHTEST + 1, 10)


def _cifar10(folder: Path) -> Pictures:
    from pipeline.datasets.contract import Wanted
    from pipeline.datasets.sets.cifar10 import CIFAR10, CLASSES, SIDE
    from pipeline.pictures.decode import Unreadable, decode

    listing = CIFAR10().folder(folder, Wanted())
    faults = list(listing.faults)
    if listing.missing:
        warn(f"--source '{folder}' is not all of CIFAR-10: {'; '.join(listing.missing)}")
    pictures: dict[str, list[np.ndarray]] = {"train": [], "validation": []}
    labels: dict[str, list[int]] = {"train": [], "validation": []}
    for one in listing.pictures:
        try:
            pixels = decode(one.content).pixels
            if pixels.shape != (SIDE, SIDE, 3):
                raise Unreadable(f"{pixels.shape[1]} x {pixels.shape[0]} pixels instead of {SIDE} x {SIDE}")
        except Unreadable as error:
            faults.append(f"{one.origin}: {error}")
            continue
        pictures[one.split].append(pixels)
        labels[one.split].append(one.label or 0)
    faults += [f"no pictures of the {split} split" for split, found in pictures.items() if not found]
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise DataError(f"--source '{folder}' cannot be read as CIFAR-10: {'; '.join(faults[:_SHOWN])}{more}")
    train, test = (torch.from_numpy(np.stack(part).transpose(0, 3, 1, 2).copy()) for part in pictures.values())
    train_labels, test_labels = (torch.tensor(part) for part in labels.values())
    return Pictures(train, train_labels, test, test_labels, 256, len(CLASSES))
