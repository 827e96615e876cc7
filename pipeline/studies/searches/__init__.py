"""The studies that can be searched over; to add one: a file here with its Space, and its line in SPACES."""

from __future__ import annotations

from pipeline.config import Params
from pipeline.errors import ConfigError, nearest
from pipeline.searches.space import Space
from pipeline.studies.searches.classifier import ClassifierSpace

SPACES = {"classifier": ClassifierSpace}


def study_space(name: str, params: Params) -> Space:
    """Return the search ``name`` of searches.studies; ConfigError if it is over a study that has no search."""
    config = params.searches.studies[name]
    if config.study not in SPACES:
        raise ConfigError(
            f"params.yaml: search {name}: study '{config.study}' cannot be searched; {nearest(config.study, SPACES)}"
        )
    return SPACES[config.study](name, config, params)
