"""The tree of artifacts that a report is made from."""

import pytest
from report_tree import build_root


@pytest.fixture
def root(tmp_path):
    """Return a project whose stages have all run, for one task."""
    return build_root(tmp_path)
