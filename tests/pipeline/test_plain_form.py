"""A whole network gives what its plain form gives: every task, every variant, imported checkpoints.

Plain: features enlarged before they are convolved, splines, norms and concatenations as operations of autograd's own.
"""

import pytest
import torch
from arms import plain_form
from upstream_cases import TINY

from models.flow import written_out
from pipeline.experiment import Experiment
from pipeline.model_folder import build
from pipeline.params import load_params
from pipeline.training.model_configs import flow_config
from pipeline.upstream.model import load_upstream

PARAMS = load_params().model_copy(update={"profile": "smoke"})
CASES = [(task, variant) for task in PARAMS.tasks for variant in PARAMS.variants]
IMPORTED = ["srflow_x4", "robustnf_spline_x4", "robustnf_spline_fixed_x8", "llflow"]
DTYPES = [pytest.param(torch.float64, 1e-10, id="float64"), pytest.param(torch.float32, 1e-3, id="float32")]


def pictures(scale, channels):
    generator = torch.Generator().manual_seed(0)
    side = 8 * max(scale, 4)
    hr = torch.rand(2, 3, side, side, generator=generator, dtype=torch.float64)
    return hr, torch.rand(2, channels, side // scale, side // scale, generator=generator, dtype=torch.float64)


def results(network, hr, lr):
    """Return latent, log-determinant, draws of the first picture, and the gradient of every parameter."""
    network.zero_grad()
    z, log_det = network(hr, network.share(lr))
    (z.square().sum() - log_det.sum()).backward()
    with torch.no_grad():
        draws, _ = network.inverse(0.5 * z.flip(0), network.share(lr[:1]))
    gradients = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert gradients
    return {"z": z.detach(), "log_det": log_det.detach(), "draws": draws} | gradients


def compare(network, dtype, relative, channels):
    torch.manual_seed(0)
    hr, lr = (picture.to(dtype) for picture in pictures(network.scale, channels))
    network = network.to(dtype)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    assert written_out.fits()
    found = results(network, hr, lr)
    with plain_form():
        assert not written_out.fits()
        plain = results(network, hr, lr)
    assert found.keys() == plain.keys()
    for name, expected in plain.items():
        largest = (found[name] - expected).abs().max()
        assert largest <= relative * expected.abs().max().clamp(min=1e-3), f"{name}: {largest:.2g}"


@pytest.mark.parametrize(("dtype", "relative"), DTYPES)
@pytest.mark.parametrize(("task", "variant"), CASES)
def test_every_task_and_variant_is_its_plain_form(task, variant, dtype, relative):
    network = build(flow_config(Experiment.of(PARAMS, task, PARAMS.seeds[0], variant)))
    compare(network, dtype, relative, 3 if network.scale > 1 else 6)


@pytest.mark.parametrize(("dtype", "relative"), DTYPES)
@pytest.mark.parametrize("name", IMPORTED)
def test_an_imported_checkpoint_is_its_plain_form(name, dtype, relative, tmp_path):
    network = load_upstream(*TINY[name].write(tmp_path)).network
    compare(network, dtype, relative, 6 if name == "llflow" else 3)
