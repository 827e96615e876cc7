"""The parts of a shield, to take one away alone."""

from __future__ import annotations

import re

import torch

from models.flow.ranges import JointRange, Range
from models.restoration.flow import RestorationFlow
from models.restoration.shielding import ranges_of

NOTHING, TAILS, PICTURE = "nothing", "tails", "picture"  # what is taken away; the enlarged picture's clamp
RANGES = {  # part: names of the ranges that it is
    "values": r"\.transform\.values$",
    "parameters": r"(\.transform\.raw|\.prior_range)$",
    "features": r"^feature_ranges\.(?!input$)",
    "input": r"^feature_ranges\.input$",
}
PARTS = (NOTHING, *RANGES, PICTURE, TAILS)
_FAR = 1e15  # no value of a picture; its square is a number in float32


def take_away(part: str, shielded: RestorationFlow, trained: RestorationFlow) -> None:
    """Take a part of the shield away, in place. ``trained``: the flow that the shield is around.

    ValueError if the shield has no such part.
    """
    if part == TAILS:
        shielded.tails = None
    elif part == PICTURE:
        if not getattr(shielded, "residual", False):
            raise ValueError("this flow adds to no enlarged picture")
        shielded.overshoot = trained.overshoot
    elif part != NOTHING:
        found = [one for name, one in ranges_of(shielded).items() if re.search(RANGES[part], name)]
        if not found:
            raise ValueError(f"this shield clamps no {part}")
        for one in found:
            _open(one)


@torch.no_grad()
def _open(one: Range) -> None:
    one.low.fill_(-_FAR)
    one.high.fill_(_FAR)
    if isinstance(one, JointRange):
        one.radius.fill_(_FAR)
