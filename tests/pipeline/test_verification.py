"""``verify``: one line per fault in pictures, models and checkpoints; what is whole is counted."""

import numpy as np
import pytest
from small_flow import small_flow

from pipeline.commands.verify import _verify
from pipeline.feed.manifest import Manifest
from pipeline.feed.shards import ShardWriter
from pipeline.model_folder import save_model
from pipeline.training.checkpoints import CheckpointStore
from pipeline.verification import verify

PREPARED, MODEL, RUN = "data/prepared/t", "artifacts/t/seed10/affine/model", ".runs/t-affine-key"


@pytest.fixture
def project(tmp_path):
    draw = np.random.default_rng(0)
    writer = ShardWriter(tmp_path / ".partial", ["a", "b"], 400)
    for split in ("train", "validation"):
        pixels = draw.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        writer.add(pixels, "", id=split, split=split, source=f"{split}.png", role="target", label=None)
    pictures = [written.picture for written in writer.finish()]
    writer.publish(Manifest("t", "set", True, "free", [], pictures), tmp_path / PREPARED)
    flow = small_flow()
    save_model(tmp_path / MODEL, flow.network, flow.config)
    for step in (1, 2):
        CheckpointStore(tmp_path / RUN).save({"step": step})
    return tmp_path


FILES = {
    "picture": f"{PREPARED}/shard-00001.bin",
    "weights": f"{MODEL}/weights.safetensors",
    "checkpoint": f"{RUN}/checkpoint-previous.pt",
}


def test_what_is_whole_is_counted(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    found = verify(project)
    files = [path for path in project.rglob("*") if path.is_file()]
    assert found.faults == []
    assert found.files == len(files) == 7
    assert found.bytes == sum(path.stat().st_size for path in files)
    assert _verify(None, []) == 0
    assert f"7 files, {found.bytes:,} bytes are what was written" in capsys.readouterr().out


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_a_fault_is_one_line_that_names_the_file(project, monkeypatch, capsys, name, harm):
    monkeypatch.chdir(project)
    path = project / FILES[name]
    content = bytearray(path.read_bytes())
    content[-7] ^= 16
    path.write_bytes({"flip": content, "cut": content[:-40], "empty": b""}[harm])
    assert _verify(None, []) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("fault: ") and FILES[name].rpartition("/")[2] in line
    assert "1 fault, see above" in captured.out


def test_all_faults_are_told_at_once(project):
    for name in FILES.values():
        (project / name).write_bytes(b"")
    (project / MODEL / "config.json").write_text("{}")
    assert len(verify(project).faults) == 3


def test_a_project_without_anything_is_whole(tmp_path):
    assert verify(tmp_path).files == 0
