"""artifacts/searches.json: which results of searches there are, so that the report is made anew when they change.

The report must not depend on the searches as stages: whoever makes a report would then have to run them.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.files import read_json, sha256_of, write_json
from pipeline.layout import search_folder, searches_stamp
from pipeline.reporting.study_page import PAGE_FILE


def write_stamp(root: Path) -> None:
    """Write the stamp anew unless it is right; no results, no stamp."""
    pages = sorted(search_folder(root, "").glob(f"*/{PAGE_FILE}"))
    path, there = searches_stamp(root), {page.parent.name: sha256_of(page) for page in pages}
    if not there:
        path.unlink(missing_ok=True)
        return
    try:
        same = read_json(path) == there
    except (OSError, ValueError):
        same = False
    if not same:
        write_json(path, there)
