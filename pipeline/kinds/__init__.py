"""Kinds of restoration: how stored pictures become what a network sees. To add one: a file and a line here."""

from pipeline.kinds.contract import Kind
from pipeline.kinds.low_light import LowLight
from pipeline.kinds.super_resolution import SuperResolution

KINDS: dict[str, Kind] = {"super_resolution": SuperResolution(), "low_light": LowLight()}

__all__ = ["KINDS", "Kind"]
