"""``check`` tells sizes that no network can have, before anything is trained."""

import pytest
import torch
from report_tree import make_params

from pipeline.errors import ConfigError
from pipeline.experiment import Experiment
from pipeline.feasibility.possible import check_networks, least_bytes
from pipeline.training.train import flow_objective


def with_sizes(task="df2k_x4", crop=None, encoder=None, training=None, **network):
    params = make_params("smoke", tasks=(task,))
    sizes = params.settings(task)
    changed = sizes.network.encoder.model_copy(update=encoder or {})
    sizes = sizes.model_copy(
        update={
            "network": sizes.network.model_copy(update={"encoder": changed, **network}),
            "training": sizes.training.model_copy(update=training or {}),
            "data": sizes.data.model_copy(update={"crop": crop or sizes.data.crop}),
        }
    )
    return params.model_copy(update={"profiles": {"smoke": {task: sizes}}})


@pytest.mark.parametrize("task", ["df2k_x4", "lol"])
def test_the_committed_sizes_are_possible(task):
    check_networks(with_sizes(task))


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"levels": 7}, "scale 4 goes with 2 or 3 levels, got 7"),
        ({"noise_steps": [0]}, "must have one entry per level"),
        ({"noise_steps": [0, 9, 9]}, "must lie in 0..steps"),
        ({"encoder": {"taps": [9]}}, "taps [9] must lie in 0..1"),
        ({"steps": 10**7}, "network.steps"),
        ({"encoder": {"blocks": 10**7}}, "network.encoder.blocks"),
        ({"hidden": 10**9}, "network.hidden"),
        ({"training": {"batch": 10**7}}, "training.batch 10000000 at data.crop 32 needs "),
        (
            {"task": "lol", "training": {"batch": 10**9, "memory": "reversible"}},
            "GiB at the least, but this machine has ",
        ),
        ({"crop": 36}, "data.crop is 36, which must be a multiple of 8"),
        ({"task": "lol", "levels": 2}, "a low-light flow has 3 levels"),
        ({"task": "lol", "crop": 33}, "data.crop is 33, which must be a multiple of 8"),
    ],
)
def test_an_impossible_size_is_one_line(sizes, said):
    with pytest.raises(ConfigError) as caught:
        check_networks(with_sizes(**sizes))
    assert said in str(caught.value)
    assert str(caught.value).startswith("params.yaml: profiles.smoke, sizes of task ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("task", ["df2k_x4", "lol"])
@pytest.mark.parametrize("memory", ["plain", "reversible"])
def test_the_least_memory_is_less_than_what_a_step_takes(task, memory):
    params = with_sizes(task, training={"memory": memory})
    experiment = Experiment.of(params, task, 10, "affine")
    objective = flow_objective(experiment)
    network, scale, crop = objective.network, experiment.problem.scale, experiment.settings.data.crop
    batch = experiment.settings.training.batch
    kept = {}  # what autograd holds between forward and backward, a tensor once

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    seen = torch.rand(batch, 6 if scale == 1 else 3, crop // scale, crop // scale)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = objective(torch.rand(batch, 3, crop, crop), seen)
    trained = sum(parameter.nbytes for parameter in network.parameters() if parameter.requires_grad)
    loss.backward()
    assert trained < least_bytes(network, experiment) < 4 * trained + sum(kept.values())
