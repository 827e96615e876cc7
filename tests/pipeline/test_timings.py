"""The record of how long stages took."""

import json

from pipeline import timings


def test_half_a_line_is_left_out_and_costs_no_other_one(tmp_path, monkeypatch):
    """As a full disk leaves it: the next line starts on its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "after")
    file = timings.file_of(tmp_path)
    file.parent.mkdir()
    file.write_text(json.dumps({"stage": "before", "seconds": 1.5}) + '\n{"stage": "torn", "sec')
    timings.record()
    timings.record()
    found = timings.since(tmp_path, 0)
    assert [stage for stage, _ in found] == ["before", "after", "after"]
    assert timings.latest(tmp_path)["before"] == 1.5
    assert len(file.read_text().splitlines()) == 4
