"""A low-light photograph from a well-lit one, by a model of exposure and noise. What it makes is synthetic.

The camera is followed in its own order, on linear light:

1. sRGB is decoded (IEC 61966-2-1), so that a value is proportional to the light that fell on the pixel.
2. Under-exposure: one factor for the picture, such that its mean becomes a drawn level; a shorter exposure is a
   product on linear light. Levels follow LOL, where the mean of a low picture is some 5-10 % of full scale. A
   picture that is as dark already is not made brighter.
3. Colour cast: one factor per channel, as a white balance that is a little wrong for the dim lamp.
4. Noise: Poisson for the photons, Gaussian for the read-out (Foi et al., "Practical Poissonian-Gaussian noise
   modeling and fitting for single-image raw-data", 2008). Electrons are counted before white balance corrects.
5. sRGB is encoded again, with a slightly different tone curve, and rounded to 8 bits.

Left out: demosaicing (neighbouring pixels of a camera share noise), denoising and sharpening in the camera,
JPEG, motion blur. A network that does well on such pairs has not been shown to do well on LOL.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_DARKEST_MEAN = 1e-4  # linear light; nothing is divided by the mean of a black picture


@dataclass(frozen=True)
class Camera:
    """What is drawn for one picture; light is in fractions of what saturates a pixel."""

    level: float  # mean linear light after under-exposure
    balance: Values  # (3,) what is left of the wrong white balance
    full_well: float  # electrons of a saturated pixel
    read_noise: float  # standard deviation in electrons
    tone: float  # exponent on encoded values

    @classmethod
    def of(cls, draw: np.random.Generator) -> Camera:
        """Draw a camera and how it was held."""
        return cls(
            level=float(np.exp(draw.uniform(np.log(0.005), np.log(0.014)))),
            balance=np.exp(draw.normal(0.0, 0.06, 3)),
            full_well=float(np.exp(draw.uniform(np.log(1500), np.log(6000)))),
            read_noise=float(draw.uniform(1.0, 3.0)),
            tone=float(draw.uniform(0.95, 1.1)),
        )


def darken(pixels: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Return ``pixels``, sRGB ``(H, W, 3)``, as a short exposure in dim light would have recorded them.

    Everything random is drawn from a stream named ``name``: the same picture and name give the same result.

    Raises ValueError if ``pixels`` is not ``(H, W, 3)`` uint8.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels must be (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
    from pipeline.seeds import seed_of  # torch: only when something is drawn

    draw = np.random.default_rng(seed_of("low light", name))
    camera = Camera.of(draw)
    light = _LINEAR[pixels]
    light *= min(1.0, camera.level / max(float(light.mean()), _DARKEST_MEAN))
    electrons = draw.poisson(np.minimum(light, 1.0) * camera.full_well) + draw.normal(0, camera.read_noise, light.shape)
    recorded = np.clip(electrons / camera.full_well * camera.balance, 0.0, 1.0)
    return np.rint(255 * _encode(recorded) ** camera.tone).astype(np.uint8)


def _decode(values: Values) -> Values:
    """Return linear light of sRGB values, both in [0, 1]."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _encode(light: Values) -> Values:
    """Return the sRGB values of linear light, both in [0, 1]."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


_LINEAR = _decode(np.arange(256) / 255)
