"""The trees of artifacts that reports are made from."""

import pytest
from report_tree import build_both, build_root


@pytest.fixture
def root(tmp_path):
    """Return a project whose stages have all run, for one task."""
    return build_root(tmp_path)


@pytest.fixture
def both(tmp_path):
    """Return the same for super-resolution and for low light."""
    return build_both(tmp_path)
