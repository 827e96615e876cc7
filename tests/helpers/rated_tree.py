"""An evaluated task, its export for raters, and the CSVs that raters would save."""

from __future__ import annotations

import numpy as np
from report_tree import plain_photograph, write_variant

from pipeline.ratings.blinding import read_key, restorations
from pipeline.ratings.export import export

PHOTOGRAPHS = {f"photo-{i}": plain_photograph() + np.uint8(i) for i in range(5)}
HEAD = "export,rater,picture,answer,seconds,note"


def exported(root, variants=("affine", "bounded"), checks=2, truth=False, task="lol", what="draws"):
    """Return the export's folder and its key."""
    folders = {}
    for strength, variant in enumerate(variants):
        folders[variant] = write_variant(root, variant, strength, PHOTOGRAPHS, task=task) / "samples"
    export(restorations(folders, task, what, 1), task, 10, what, root / "out", checks, truth)
    return root / "out", read_key(root / "out")


def lines_of(key, rater, sees_artifact):
    """Return a CSV's lines in which ``rater`` answers all checks rightly and the rest by ``sees_artifact(blinded)``."""
    rows = []
    for blinded in key.pictures:
        seen = blinded.check == "broken" if blinded.check else sees_artifact(blinded)
        rows.append(f"{key.export},{rater},{blinded.name},{'yes' if seen else 'no'},1.5,")
    return [HEAD, *rows]


def save(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
