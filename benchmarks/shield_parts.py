"""The parts of a shield, to take one away alone."""

from __future__ import annotations

import re

import torch

from models.flow.ranges import JointRange, Range
from models.restoration.flow import RestorationFlow
from models.restoration.shielding import ranges_of, tightness_of

# what is taken away; the enlarged picture's clamp; what the boxes of parameters reach beyond what was seen
NOTHING, TAILS, PICTURE, ROOM = "nothing", "tails", "picture", "room"
RANGES = {  # part: names of the ranges that it is
    "values": r"\.transform\.values$",
    "parameters": r"(\.transform\.raw|\.prior_range)$",
    "features": r"^feature_ranges\.(?!input$)",
    "input": r"^feature_ranges\.input$",
}
PARTS = (NOTHING, *RANGES, ROOM, PICTURE, TAILS)
_FAR = 1e15  # no value of a picture; its square is a number in float32


def parts_of(kind: str, caps: dict[str, float]) -> list[str]:
    """Return which parts the shield around a flow has, of its kind (pipeline.kinds.KINDS) and with its caps."""
    missing = {PICTURE} if kind == "low_light" else {"input", ROOM}
    if "overshoot" in caps:  # capped as trained: no part of the shield
        missing.add(PICTURE)
    return [part for part in PARTS if part not in missing]


def take_away(part: str, shielded: RestorationFlow, trained: RestorationFlow) -> None:
    """Take a part of the shield away, one that it has, in place. ``trained``: the flow that the shield is around."""
    if part == TAILS:
        shielded.tails = None
    elif part == PICTURE:
        shielded.overshoot = trained.overshoot
    elif part == ROOM:
        _narrow(shielded)
    elif part != NOTHING:
        for name, one in ranges_of(shielded).items():
            if re.search(RANGES[part], name):
                _open(one)


@torch.no_grad()
def _narrow(shielded: RestorationFlow) -> None:
    """Let every box of parameters end where what was seen ends."""
    room = tightness_of(shielded).room
    for name, one in ranges_of(shielded).items():
        if re.search(RANGES["parameters"], name):
            further = room / (1.0 + 2.0 * room) * (one.high - one.low)
            one.low += further
            one.high -= further


@torch.no_grad()
def _open(one: Range) -> None:
    one.low.fill_(-_FAR)
    one.high.fill_(_FAR)
    if isinstance(one, JointRange):
        one.radius.fill_(_FAR)
