"""What a task's figures are made from, and what is missing."""

from __future__ import annotations

from pipeline.reporting.results import TaskResults
from pipeline.reporting.sections.contract import Shown, TaskSection
from pipeline.reporting.view import TaskView


def _show(task: TaskView) -> Shown:
    results = task.results
    notices = _notices(results, task.params.profile)
    return {"manifest": results.manifest, "counts": _counts(results), "notices": notices}


def _counts(results: TaskResults) -> dict[str, int]:
    """Return the number of prepared targets per split; a pair counts once."""
    pictures = results.manifest["pictures"] if results.manifest else []
    targets = [picture["split"] for picture in pictures if picture.get("role", "target") == "target"]
    return {split: targets.count(split) for split in ("train", "validation")}


def _notices(results: TaskResults, profile: str) -> list[str]:
    notices = []
    for result in (found for one in (results, *results.repeats) for found in one.variants.values()):
        which = f"{result.variant}, seed {result.seed}" if results.repeats else result.variant
        if result.missing:
            notices.append(f"{which}: not yet run: {', '.join(result.missing)}")
        if others := result.profiles - {profile}:
            notices.append(f"{which}: figures of another profile ({', '.join(sorted(others))}) stand here; run again")
    return notices


ABOUT = TaskSection(name="about", show=_show)
