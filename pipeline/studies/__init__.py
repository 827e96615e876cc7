"""The papers' stand-alone experiments; to add one: one file and one line in STUDIES. Loads nothing heavy."""

from pipeline.studies.contract import Study
from pipeline.studies.toy2d.study import Toy2d

STUDIES: dict[str, type[Study]] = {
    "toy2d": Toy2d,
}

__all__ = ["STUDIES", "Study"]
