"""One side of pairs: the targets, or one kind of input."""

from __future__ import annotations

from typing import Protocol

from pipeline.pictures import Pixels


class Side(Protocol):
    """Pictures of one role, as ``pipeline.feed.shards.Pictures`` has them."""

    @property
    def ids(self) -> list[str]:
        """The pictures' names, in order."""

    def __len__(self) -> int: ...

    def shape(self, index: int) -> tuple[int, int]:
        """Return (height, width) of a picture, in pixels."""

    def crop(self, index: int, top: int, left: int, height: int, width: int) -> Pixels:
        """Return ``(height, width, 3)``; ValueError if it would leave the picture."""
