"""What counts as evidence that a flow explodes: a table of rules over the numbers of an audit.

A rule that is ``blind`` looks at photographs, bounds and pushed features alone: had no stress input been tried, it
would say the same, so what follows from such rules can be held against the stress inputs.

"Will explode" is said of values that are not finite or larger by an order of magnitude than a picture's range. Values
that are bad by less than that, as of a network that has learned little, make a network borderline.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Analyses = Mapping[str, Mapping[str, float | None]]  # analysis -> number -> value
Level = Literal["safe", "borderline", "will explode"]
SAFE: Level = "safe"
BORDERLINE: Level = "borderline"
EXPLODES: Level = "will explode"
LEVELS = (SAFE, BORDERLINE, EXPLODES)

# Of a value whose range is 1. Pictures that are merely wrong end near 3; explosions pass 10 on their way to 1e36.
LARGE = 10.0
# Of the standard deviation over all layers of a kind: twice what the demo's certified splines reach on any stress
# input, and the square of LARGE, which no later layer takes back.
NOTED_GROWTH, GROWTH = 3.0, 100.0
HALF_THE_RANGE = 0.5  # a picture that comes back so wrong is another picture
ONE_SIGMA = 1.0  # a latent that comes back so wrong is another latent


@dataclass(frozen=True)
class Rule:
    """``number`` above ``above`` is evidence for ``level``, and so is a missing one where ``missing`` says why.

    ``number``: ``analysis.name``; one that ends in ``_`` stands for a family. ``words`` has {value} and {member}.
    ``cause``: a key of ADVICE, nothing where the layers say it.
    """

    number: str
    above: float
    level: Level
    words: str
    cause: str = ""
    blind: bool = False
    missing: str = ""
    each: bool = False  # of a family: every member, not the first that applies alone


RULES: tuple[Rule, ...] = (
    Rule(
        "bad_pixels.nonfinite_share_in_distribution",
        0.0,
        EXPLODES,
        "{value:.3%} of the values on photographs are not finite",
        "photographs",
        blind=True,
    ),
    Rule(
        "bad_pixels.largest_in_distribution",
        LARGE,
        EXPLODES,
        "values up to {value:.3g} on photographs, of range 1",
        "photographs",
        blind=True,
    ),
    Rule(
        "bad_pixels.nonfinite_share_stress",
        0.0,
        EXPLODES,
        "{value:.3%} of the values on stress inputs are not finite",
        "unlike inputs",
    ),
    Rule(
        "bad_pixels.largest_stress",
        LARGE,
        EXPLODES,
        "values up to {value:.3g} on stress inputs, of range 1",
        "unlike inputs",
    ),
    Rule(
        "feature_variance.stress_inputs_with_nonfinite_features",
        0.0,
        EXPLODES,
        "features are not finite on {value:.0f} stress inputs",
        "unlike inputs",
    ),
    Rule(
        "feature_variance.growth_",
        GROWTH,
        EXPLODES,
        "{member}: features grow {value:.3g} times as on photographs",
        each=True,
    ),
    Rule(
        "reconstruction.image_max_abs",
        HALF_THE_RANGE,
        EXPLODES,
        "a photograph comes back from the latent {value:.3g} off, of range 1",
        "round trip",
        blind=True,
        missing="a photograph comes back from the latent with values that are not finite",
    ),
    Rule(
        "reconstruction.latent_max_abs_in_distribution",
        ONE_SIGMA,
        EXPLODES,
        "a latent comes back {value:.3g} sigma off, photographs",
        "round trip",
        blind=True,
        missing="a latent comes back with values that are not finite, photographs",
    ),
    Rule(
        "reconstruction.latent_max_abs_stress",
        ONE_SIGMA,
        EXPLODES,
        "a latent comes back {value:.3g} sigma off, stress inputs",
        "unlike inputs",
        missing="a latent comes back with values that are not finite, stress inputs",
    ),
    Rule(
        "pushed_features.nonfinite_share_",
        0.0,
        EXPLODES,
        "{value:.3%} of the values are not finite where features are pushed {member} times",
        "unlike inputs",
        blind=True,
    ),
    Rule(
        "pushed_features.largest_",
        LARGE,
        EXPLODES,
        "values up to {value:.3g} where features are pushed {member} times",
        "unlike inputs",
        blind=True,
    ),
    Rule(
        "bad_pixels.bad_share_in_distribution",
        0.0,
        BORDERLINE,
        "{value:.3%} of the values on photographs are bad",
        "photographs",
        blind=True,
    ),
    Rule(
        "bad_pixels.bad_share_stress",
        0.0,
        BORDERLINE,
        "{value:.3%} of the values on stress inputs are bad",
        "unlike inputs",
    ),
    Rule(
        "feature_variance.growth_",
        NOTED_GROWTH,
        BORDERLINE,
        "{member}: features grow {value:.3g} times as on photographs",
        each=True,
    ),
    Rule(
        "pushed_features.bad_share_",
        0.0,
        BORDERLINE,
        "{value:.3%} of the values are bad where features are pushed {member} times",
        "unlike inputs",
        blind=True,
    ),
    Rule(
        "certified_bound.displacement",
        math.inf,
        BORDERLINE,
        "",
        "no bound",
        blind=True,
        missing="nothing bounds by how much a coupling may shift a value",
    ),
)


# Without these no draw has been looked at, blind or not: absence of evidence is none of safety.
_NEEDED = {False: "bad_pixels", True: "pushed_features"}


@dataclass(frozen=True)
class Evidence:
    """A rule that applies, in words."""

    level: Level
    words: str
    cause: str


def evidence(analyses: Analyses, blind: bool = False) -> list[Evidence]:
    """Return what speaks against a network, in the order of RULES; ``blind``: by rules that are, alone.

    Analyses that have not run say nothing, but for those that look at draws: that none did is a reason for doubt.
    """
    found = [item for rule in RULES if rule.blind or not blind for item in _applying(rule, analyses)]
    if _NEEDED[blind] not in analyses:
        words = f"no draw was looked at: the analysis {_NEEDED[blind]} was not run"
        found.append(Evidence(BORDERLINE, words, "nothing looked at"))
    return found


def worst(found: list[Evidence]) -> Level:
    """Return the level that the evidence is for; safe without any."""
    return max((item.level for item in found), key=LEVELS.index, default=SAFE)


def _applying(rule: Rule, analyses: Analyses) -> Iterator[Evidence]:
    for member, value in _members(rule.number, analyses):
        if value is None:
            words = rule.missing
        elif value > rule.above:
            words = rule.words.format(value=value, member=member.replace("_", " "))
        else:
            continue
        if words:
            yield Evidence(rule.level, words, rule.cause)
            if not rule.each:
                return


def _members(number: str, analyses: Analyses) -> Iterator[tuple[str, float | None]]:
    """Yield the value of ``number``; of a family, each member with its name; nothing that has not been measured."""
    analysis, _, name = number.partition(".")
    for key, value in analyses.get(analysis, {}).items():
        if key == name or (name.endswith("_") and key.startswith(name)):
            yield key.removeprefix(name), value
