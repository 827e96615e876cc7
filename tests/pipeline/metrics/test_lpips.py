"""LPIPS against the lpips package, torchmetrics' documentation and a computation written out here."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from pipeline.errors import DataError
from pipeline.metrics import lpips_net
from pipeline.metrics.contract import NotComputable, Picture
from pipeline.metrics.lpips_net import load_lpips, lpips_weights
from pipeline.metrics.perceptual import lpips_of_draws


def test_lpips_heads_of_the_carrier_are_those_of_the_lpips_package(alex):
    """Two ports agree on the calibrated heads, so the convolutions beside them belong to the same LPIPS."""
    weights = lpips_weights()
    for index, head in enumerate(alex._network.lins):
        theirs = torch.from_numpy(weights[f"NetLinLayer_{index}"]["Conv_0"]["kernel"].copy()).permute(3, 2, 0, 1)
        assert torch.equal(head.model[-1].weight.data, theirs)


def test_lpips_is_what_the_lpips_package_computes(alex, astronaut, blurred):
    draws = np.stack([blurred, astronaut, blurred[::-1]])
    found = alex.compare(draws, astronaut)
    theirs = alex._network
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
    assert found.maps.shape == draws.shape[:3]
    assert alex.compare(astronaut[None], astronaut).distance[0] == 0.0


def test_lpips_alex_by_an_independent_computation(alex, astronaut, blurred):
    """LPIPS written out in float64 from the arrays of the carrier: Zhang et al. (2018), equation 1.

    The same weights give 0.722 and 0.138 on the example pictures of the LPIPS repository, as published there.
    """
    arrays = lpips_weights()
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
    assert alex.compare(blurred[None], astronaut).distance[0] == pytest.approx(distance, rel=1e-4)
    assert 0.01 < distance < 1


def test_lpips_refuses_what_it_cannot_measure(alex, astronaut):
    small = astronaut[:30, :40]
    with pytest.raises(NotComputable, match="at least 31"):
        lpips_of_draws(Picture("small", small, small[None], {}, 1, None, alex))
    with pytest.raises(ValueError, match="at least 31"):
        alex.compare(small[None], small)
    assert alex.compare(astronaut[None, :31, :31], astronaut[10:41, 10:41]).distance[0] > 0
    with pytest.raises(ValueError, match="uint8"):
        alex.compare(astronaut[None].astype(np.float32), astronaut)


@pytest.mark.parametrize("damage", [lambda raw: raw[:40], lambda raw: pickle.dumps({"AlexNet_0": print})])
def test_weights_that_are_none_are_named(damage, tmp_path, monkeypatch):
    path = tmp_path / "alexnet.ckpt"
    path.write_bytes(damage(pickle.dumps({"AlexNet_0": {"Conv_0": {"kernel": np.arange(600.0)}}})))
    monkeypatch.setattr(lpips_net, "carrier_file", lambda name, member: path)
    with pytest.raises(DataError, match=r"alexnet\.ckpt: not a pickle of plain lists and arrays .* delete it"):
        load_lpips()
