"""Networks without values: the shapes are those of real ones, and torch's compiler stays out."""

import subprocess
import sys

from small_flow import small_flow

from pipeline.model_folder import build, save_model
from pipeline.shapes_alone import shapes_alone


def test_shapes_are_those_of_a_network_with_values():
    config = small_flow().config
    with shapes_alone():
        alone = build(config)
    found, wanted = ({name: (t.shape, t.dtype) for name, t in n.state_dict().items()} for n in (alone, build(config)))
    assert found == wanted
    assert all(tensor.is_meta for tensor in alone.parameters())


def test_a_network_that_is_built_afterwards_has_values():
    config = small_flow().config
    with shapes_alone():
        build(config)
    weight = build(config).encoder.trunk[0].blocks[0].convs[0].weight
    assert weight.device.type == "cpu" and weight.std() > 0


def test_a_model_is_loaded_without_what_stages_have_to_wait_for(tmp_path):
    """They start by the hundred in a run of the whole pipeline."""
    flow = small_flow()
    save_model(tmp_path / "model", flow.network, flow.config)
    code = (
        "import sys, stages.sample; from pathlib import Path; from pipeline.model_folder import load_flow\n"
        "load_flow(Path(sys.argv[1])); print(*{'torch._dynamo', 'albumentations', 'pandas'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
