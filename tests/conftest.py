"""Every test starts from the same seeds, few threads, no telemetry, and no server of the developer's own."""

import os
import random
import sys
from pathlib import Path

import hypothesis
import pytest

# Before the first import of torch, ray or mlflow: they read these once.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.update(
    MPLBACKEND="Agg",
    MLFLOW_DISABLE_TELEMETRY="true",
    NO_ALBUMENTATIONS_UPDATE="1",
    RAY_AUTH_MODE="disabled",  # else a local cluster writes a token into the home folder
    RAY_TRAIN_ENABLE_PREEMPTION_WATCHER="0",  # a test cluster is never preempted
    RAY_TRAIN_METRICS_ENABLED="0",
    RAY_USAGE_STATS_ENABLED="0",
)
for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "DVC_STAGE", "DVC_ROOT"):
    os.environ.pop(name, None)

hypothesis.settings.register_profile("steadyflow", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steadyflow")


@pytest.fixture(autouse=True)
def seeds():
    """Seed the generators of the libraries that a test module has imported."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def astronaut():
    """Return a photograph, 96x96."""
    from skimage import data

    return data.astronaut()[100:196, 180:276].copy()


@pytest.fixture(scope="session")
def blurred(astronaut):
    """Return it blurred."""
    from scipy.ndimage import uniform_filter

    return uniform_filter(astronaut.astype(float), (3, 3, 0)).round().astype("uint8")


@pytest.fixture(scope="session")
def alex():
    """Return LPIPS with AlexNet, or skip the test where its weights are not to be had."""
    from pipeline.errors import DataError
    from pipeline.metrics.lpips_net import load_lpips

    try:
        return load_lpips()
    except DataError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory) -> Path:
    """Return a project with prepared pictures and a pretrained encoder, to be copied."""
    import smoke_project

    folder = smoke_project.make_project(tmp_path_factory.mktemp("pretrained"))
    smoke_project.succeed(folder, "prepare", None)
    smoke_project.succeed(folder, "pretrain", None)
    return folder


@pytest.fixture
def project(pretrained, tmp_path) -> Path:
    """Return a copy of it for one test."""
    import smoke_project

    return smoke_project.copy_project(pretrained, tmp_path)


@pytest.fixture(scope="session")
def trained(pretrained, tmp_path_factory) -> Path:
    """Return a project with a trained affine flow; to be read, or copied."""
    import smoke_project

    folder = smoke_project.copy_project(pretrained, tmp_path_factory.mktemp("trained"))
    smoke_project.succeed(folder, "train")
    return folder


def pytest_terminal_summary(terminalreporter):
    """Print how many malformed inputs of each class this run tried, and how many were taken badly."""
    tally = sys.modules["malformed"].TALLY if "malformed" in sys.modules else {}
    if tally:
        terminalreporter.section("malformed inputs: tried, bad")
        for what, (count, bad) in sorted(tally.items()):
            terminalreporter.write_line(f"{what:40} {count:6} {bad:6}")
