"""The one list of what a result depends on: per stage the code and the settings that can change it.

``run_key`` hashes what stands here, dvc.yaml is compared with it, and so is what each stage really imports: a
file that is imported must stand here or under ``NO_RESULT_DEPENDS_ON``, and what stands here must be imported
(tests/test_dependencies.py). A folder stands for all of its files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Dependencies:
    """``code``: files and folders. ``settings``: places in artifacts/settings.json; what is in braces is filled in."""

    code: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


_FLOW = (
    "models/flow",
    "models/restoration",
    "pipeline/kinds",
    "pipeline/model_config.py",
    "pipeline/model_folder.py",
    "pipeline/shapes_alone.py",
    "pipeline/objective.py",
    "pipeline/seeds.py",
)
_FEED = ("pipeline/feed", "pipeline/pictures/__init__.py")
_TRAINING = tuple(
    f"pipeline/training/{name}.py"
    for name in ("batches", "jobs", "loop", "model_configs", "optimizers", "outputs", "ranks", "recovery", "schedule")
)
_HELD_OUT = ("pipeline/inference/held_out.py", "pipeline/pictures/eight_bit.py")
_TRAIN = (
    *_FLOW,
    *_FEED,
    *_TRAINING,
    *_HELD_OUT,
    *(f"pipeline/training/{name}.py" for name in ("closed_form", "regularized", "regularizers", "train")),
)
_METRICS = (
    "pipeline/metrics",
    "pipeline/feed/bicubic.py",
    "pipeline/pictures/__init__.py",
    "pipeline/pictures/decode.py",
    "pipeline/pictures/folders.py",
    "pipeline/pictures/png.py",
    "pipeline/safe_pickle.py",
)
_PROBLEM = ("tasks.{task}.problem", "tasks.{task}.data")
_REPORT = (
    "dvc_summary",
    "figures",
    "paper_figures",
    "pictures",
    "pixels",
    "plots",
    "references",
    "report",
    "results",
    "rows",
    "shapes",
    "study_page",
    "style",
    "tables",
    "tracked",
    "verdicts",
    "view",
    "wording",
)
# How pictures of a data set get into shards.
_PREPARING = (
    "pipeline/datasets",
    "pipeline/feed/darkening.py",
    "pipeline/feed/manifest.py",
    "pipeline/feed/shards.py",
    "pipeline/pictures/__init__.py",
    "pipeline/pictures/decode.py",
    "pipeline/pictures/folders.py",
    "pipeline/pictures/png.py",
    "pipeline/safe_pickle.py",
)
# What every study is made with: trials, the training loop, the page.
_STUDY = (
    *(f"pipeline/studies/{name}.py" for name in ("contract", "lab", "running", "trial")),
    *(f"pipeline/training/{name}.py" for name in ("loop", "optimizers", "ranks", "recovery", "schedule")),
    *(f"pipeline/reporting/{name}.py" for name in ("study_page", "style")),
    "models/flow/memory_saving.py",
    "models/flow/recomputation.py",
    "pipeline/objective.py",
    "pipeline/options.py",
    "pipeline/seeds.py",
)
_OF_CHAINS = ("bijection", "caps", "features", "observing", "place", "ranges", "written_out")
_OF_COUPLINGS = ("actnorm", "conditional_net", "coupling", "normalized_relu", "permutation")
# What flows of points are made of: paper B's, and paper A's toy.
_POINTS = (
    "models/flow/transforms",
    *(f"models/flow/{name}.py" for name in _OF_CHAINS),
    *(f"models/flow/layers/{name}.py" for name in _OF_COUPLINGS),
)
_TOY = (
    *_POINTS,
    "models/flow/layers/invertible_conv.py",
    "models/lab/toy.py",
    "pipeline/stability/measure/variances.py",
)
_POINTS_OF_B = (*_POINTS, "models/lab/lipschitz.py", "models/lab/points.py")
# Singular values of any map.
_SPECTRUM = tuple(f"pipeline/stability/measure/{name}.py" for name in ("jacobian", "spectrum"))
_PLANE = ("pipeline/studies/plane.py", "pipeline/stability/measure/jacobian.py")
# The small pictures that studies train on.
_SMALL_PICTURES = (
    "pipeline/datasets/contract.py",
    "pipeline/datasets/digits.py",
    "pipeline/datasets/photographs.py",
    "pipeline/datasets/sets/cifar10.py",
    "pipeline/feed/manifest.py",
    *(f"pipeline/pictures/{name}.py" for name in ("__init__", "decode", "folders", "png")),
    "pipeline/safe_pickle.py",
    "pipeline/studies/small_pictures.py",
    "pipeline/studies/sources.py",
)
# What flows of pictures are made of, and what they are shown.
_PICTURES = (
    *_SMALL_PICTURES,
    "pipeline/pictures/eight_bit.py",
    *_POINTS,
    "models/flow/layers/invertible_conv.py",
    "models/flow/layers/split.py",
    "models/flow/layers/squeeze.py",
    "models/flow/multiscale.py",
    "pipeline/datasets/catalogue.py",
    "pipeline/datasets/sets",
    "pipeline/feed/darkening.py",
    "pipeline/stability/drawing.py",
    "pipeline/stability/measure/jacobian.py",
    "pipeline/stability/measure/spectrum.py",
)
_DENSITY = (
    *_PICTURES,
    *(f"models/lab/{name}.py" for name in ("glow", "lipschitz", "log_det", "logit", "residual")),
)
# Invertible classifiers, how they are trained and measured.
_CLASSIFIER = (
    *_SMALL_PICTURES,
    "models/flow",
    "models/lab/classifier.py",
    "pipeline/stability/measure/gradient_angle.py",
    *_SPECTRUM,
    "pipeline/training/regularizers.py",
)
# What every search is made with: the grid, who is best, the plot.
_SEARCH = (
    *(f"pipeline/searches/{name}.py" for name in ("figure", "judging", "outputs", "running", "space", "trial")),
    *(f"pipeline/reporting/{name}.py" for name in ("study_page", "style")),
)


def _study(name: str, *code: str) -> Dependencies:
    return Dependencies((*_STUDY, f"pipeline/studies/{name}", *code), (f"studies.{name}",))


STAGES: dict[str, Dependencies] = {
    "prepare": Dependencies(
        (*_PREPARING, "pipeline/seeds.py"),
        ("tasks.{task}.problem", "tasks.{task}.source", "tasks.{task}.data.crop"),
    ),
    "pretrain": Dependencies(
        (*_FLOW, *_FEED, *_TRAINING, "pipeline/training/pretrain.py"),
        ("profile", *_PROBLEM, "tasks.{task}.network.encoder", "tasks.{task}.pretraining"),
    ),
    "train": Dependencies(
        _TRAIN,
        ("profile", "variants.{variant}", *_PROBLEM, "tasks.{task}.network", "tasks.{task}.training"),
    ),
    "shield": Dependencies(
        (
            *_FLOW,
            *_FEED,
            *_HELD_OUT,
            "pipeline/inference/reference_pairs.py",
            "pipeline/inference/sampling.py",
            *(f"pipeline/pictures/{name}.py" for name in ("decode", "folders", "png")),
            "pipeline/shielding",
            "pipeline/stability/measure/bounds.py",
            "pipeline/stability/measure/jacobian.py",
        ),
        ("shields.{variant}", "tasks.{task}.problem", "tasks.{task}.network.levels"),
    ),
    "sample": Dependencies(
        (
            *_FLOW,
            *_FEED,
            *_HELD_OUT,
            "pipeline/inference/brightness.py",
            "pipeline/inference/restore.py",
            "pipeline/inference/freed_memory.py",
            "pipeline/inference/memory_need.py",
            "pipeline/inference/sampling.py",
            "pipeline/inference/canvas.py",
            "pipeline/inference/tiling.py",
            "pipeline/pictures/decode.py",
            "pipeline/pictures/folders.py",
            "pipeline/pictures/png.py",
        ),
        (*_PROBLEM, "tasks.{task}.network.levels", "tasks.{task}.sampling"),
    ),
    "evaluate": Dependencies(
        (
            *_METRICS,
            *(f"pipeline/reporting/{name}.py" for name in ("evaluated", "grid", "pixels", "wording")),
        ),
    ),
    "stability": Dependencies(
        (*_FLOW, *_FEED, *_HELD_OUT, "pipeline/inference/sampling.py", "pipeline/options.py", "pipeline/stability"),
        (*_PROBLEM, "tasks.{task}.network.levels", "tasks.{task}.stability"),
    ),
    "study_toy2d": _study("toy2d", *_TOY),
    "study_depth_error": _study("depth_error", *_POINTS_OF_B, *_SPECTRUM),
    "study_checkerboard": _study(
        "checkerboard",
        *_POINTS_OF_B,
        "models/flow/layers/squeeze.py",
        *(f"models/lab/{name}.py" for name in ("log_det", "logit", "residual")),
        *_PLANE,
    ),
    "study_regression": _study("regression", *_POINTS_OF_B, *_PLANE),
    "study_classifier": _study("classifier", *_CLASSIFIER),
    "search": Dependencies(
        (
            *_SEARCH,
            *(f"pipeline/studies/{name}.py" for name in ("contract", "lab", "trial")),
            "pipeline/studies/classifier",
            "pipeline/studies/searches",
            *_CLASSIFIER,
            *(
                f"pipeline/training/{name}.py"
                for name in ("jobs", "loop", "optimizers", "ranks", "recovery", "schedule")
            ),
            "pipeline/objective.py",
            "pipeline/options.py",
            "pipeline/seeds.py",
        ),
        ("profile", "studies.{study}", "searches.studies.{search}"),
    ),
    "search_flow": Dependencies(
        (
            *_SEARCH,
            "pipeline/searches/flows.py",
            *_TRAIN,
            "pipeline/inference/sampling.py",
            "pipeline/options.py",
            "pipeline/stability",
        ),
        (
            "profile",
            "variants.{variant}",
            *_PROBLEM,
            "tasks.{task}.network",
            "tasks.{task}.training",
            "tasks.{task}.stability",
            "searches.flows.{search}",
        ),
    ),
    "study_density": _study(
        "density", *_DENSITY, "pipeline/stability/measure/ascent.py", "pipeline/stability/measure/attack.py"
    ),
    # it builds its flows and measures them as the densities' study does
    "study_flow_gan": _study(
        "flow_gan",
        *_DENSITY,
        *(
            f"pipeline/studies/density/{n}.py"
            for n in ("claims", "figures", "inputs", "measure", "options", "training")
        ),
    ),
    "report": Dependencies(
        (
            *_FLOW,
            *_METRICS,
            *(f"pipeline/feed/{name}.py" for name in ("darkening", "degradations", "equalization", "side")),
            "pipeline/inference/sampling.py",
            "pipeline/options.py",
            "pipeline/pictures/eight_bit.py",
            "pipeline/ratings/found.py",
            *(f"pipeline/reporting/{name}.py" for name in _REPORT),
            "pipeline/reporting/page",
            "pipeline/reporting/sections",
            "pipeline/stability/analyses",
            "pipeline/stability/measure",
            *(f"pipeline/stability/{name}.py" for name in ("contract", "drawing", "evidence", "stress", "subject")),
        ),
        ("profile", "seeds", "tasks", "variants", "shields", "studies", "searches"),
    ),
}

# Imported by stages, yet a change there changes no result. Path -> reason.
NO_RESULT_DEPENDS_ON: dict[str, str] = {
    "stages": "a stage reads its arguments and calls one function of pipeline/; test_architecture.py keeps it so thin",
    "pipeline/carriers": "fetches files by their hash: what is in them cannot be otherwise",
    "pipeline/commands": "the command line",
    "pipeline/config.py": "how params.yaml is read; stages depend on the values in artifacts/settings.json",
    "pipeline/console.py": "what people see on the terminal",
    "pipeline/dependencies.py": "this list: what it says of a stage is hashed, not how",
    "pipeline/devices.py": "on which device and with how many threads, which is of the runtime",
    "pipeline/errors.py": "words of errors",
    "pipeline/experiment.py": "how settings travel; their values are hashed",
    "pipeline/feasibility": "whether sizes are possible",
    "pipeline/files.py": "how files are written, not what is in them",
    "pipeline/layout.py": "where files lie",
    "pipeline/origin.py": "names of the first fields of result files",
    "pipeline/params.py": "how params.yaml is read and checked",
    "pipeline/supervision.py": "how a stage is told that its driver has died",
    "pipeline/timings.py": "how long a stage took",
    "pipeline/searches/stamp.py": "tells the report that there is something new",
    "pipeline/tracking": "tells MLflow what came out",
    "pipeline/training/checkpoints.py": "how a training is interrupted; one that goes on ends bit for bit the same",
    "pipeline/training/ray_cluster.py": "how Ray is started, and what people see of it",
    "pipeline/training/ray_group.py": "how workers are told to stop and started again; the result is the same",
    "pipeline/training/ray_room.py": "whether workers wait for room",
    "pipeline/training/ray_search.py": "how trials are launched; how many at a time changes only whom asha stops",
    "pipeline/training/ray_train.py": "how a training is launched",
    "pipeline/training/run_key.py": "names the run; the result is the same under another name",
    "pipeline/training/stopping.py": "how a training is told to stop",
    "pipeline/yaml_text.py": "how YAML is read; stages depend on the values in artifacts/settings.json",
}


def code_files(stage: str) -> Iterator[tuple[str, Path]]:
    """Yield (path relative to the code's root, file) of every Python file that results of ``stage`` depend on."""
    for name in STAGES[stage].code:
        place = _ROOT / name
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            relative = file.relative_to(_ROOT).as_posix()
            if not is_exception(relative):
                yield relative, file


def is_exception(path: str) -> bool:
    """Return whether no result depends on the file or folder ``path``."""
    return any(path == name or path.startswith(f"{name}/") for name in NO_RESULT_DEPENDS_ON)


def settings_of(stage: str, resolved: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Return the values in ``resolved`` (the content of artifacts/settings.json) that ``stage`` depends on, by place.

    ``names`` fill the places in, such as task and variant.
    """
    found = {}
    for template in STAGES[stage].settings:
        place = template.format(**names)
        value: Any = resolved
        for part in place.split("."):
            value = value[part]
        found[place] = value
    return found
