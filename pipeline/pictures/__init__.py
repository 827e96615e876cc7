"""Pictures as files and as arrays ``(H, W, 3)`` uint8."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

__all__ = ["Pixels"]
