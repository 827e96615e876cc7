"""How many stages run at a time, and with what: cores, threads, workers, GPUs."""

import pytest

from pipeline.config import RuntimeConfig
from pipeline.repro.slots import slots, visible_devices

GPUS = "CUDA_VISIBLE_DEVICES"
THREADS = "OMP_NUM_THREADS"


@pytest.mark.parametrize(
    ("runtime", "cores", "jobs"),
    [
        ({}, 4, 4),
        ({"threads": 2}, 4, 2),
        ({"threads": 8}, 4, 1),
        ({"workers": 2}, 4, 2),
        ({"workers": 3, "threads": 1}, 2, 1),
        ({"workers": 0}, 2, 2),
    ],
)
def test_by_default_as_many_as_the_cores_suffice_for(runtime, cores, jobs):
    assert len(slots(None, RuntimeConfig(**runtime), cores, [], {})) == jobs


@pytest.mark.parametrize(("jobs", "threads"), [(1, "4"), (2, "2"), (3, "1"), (9, "1")])
def test_auto_shares_the_cores(jobs, threads):
    places = slots(jobs, RuntimeConfig(threads="auto"), 4, [], {})
    assert [place[THREADS] for place in places] == [threads] * jobs


def test_what_the_user_says_of_threads_stays():
    (place,) = slots(1, RuntimeConfig(threads=2), 4, [], {THREADS: "7"})
    assert THREADS not in place
    assert place["MKL_NUM_THREADS"] == "2"


@pytest.mark.parametrize(
    ("asked", "runtime", "devices", "given"),
    [
        (None, {}, "0123", ["0", "1", "2", "3"]),
        (None, {"workers": 2}, "0123", ["0,1", "2,3"]),
        (None, {"workers": 2}, "012", [None]),
        (None, {}, "0", [None]),
        (1, {}, "01", [None]),
        (3, {}, "01", ["0", "1", "0"]),
        (None, {"device": "cuda:1"}, "01", [None]),
        (None, {"device": "cpu"}, "01", [None, None]),
    ],
)
def test_gpus(asked, runtime, devices, given):
    places = slots(asked, RuntimeConfig(**runtime), 2, list(devices), {})
    assert [place.get(GPUS) for place in places] == given


@pytest.mark.parametrize(
    ("said", "count", "names"),
    [
        (None, 2, ["0", "1"]),
        ("3,5", 2, ["3", "5"]),
        ("GPU-a, GPU-b", 2, ["GPU-a", "GPU-b"]),
        ("", 0, []),
        ("1", 1, ["1"]),
    ],
)
def test_devices_are_named_as_the_user_did(said, count, names):
    assert visible_devices(count, {} if said is None else {GPUS: said}) == names
