"""The champion behind MLflow's scoring server: ``_load_pyfunc`` is what MLflow calls, by the name of this module.

A registered model is a model folder (safetensors and JSON) and the name of this module: nothing is unpickled. A row of
a request is a picture; the answer has the draws that ``steadyflow sample`` writes, byte for byte, in its order:

    {"dataframe_records": [{"image": base64 of a file, "name": "cat.png"}], "params": {"seed": 10, "temperature": 0.8}}
    {"predictions": [{"name": "cat_draw_00.png", "image": base64 of a PNG, "nonfinite_values": 0, "outside_values": 0}]}

``name`` is the picture's file name, which seeds the latents together with ``seed``; without one it is ``picture.png``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.config import RuntimeConfig
from pipeline.devices import choose_device
from pipeline.errors import DataError, SteadyflowError, brief
from pipeline.inference.restore import USUAL_DRAWS, how_to_draw, restore_picture
from pipeline.inference.tiling import Restorer
from pipeline.model_folder import LoadedFlow, load_flow
from pipeline.pictures.eight_bit import png_bytes
from pipeline.tracking.client import bad_request

if TYPE_CHECKING:
    import pandas

SEED = 10
UNNAMED = "picture.png"
COUNTS = ("nonfinite_values", "outside_values")  # of an un-clamped draw


class ServedFlow:
    """A flow that answers requests."""

    def __init__(self, flow: LoadedFlow) -> None:
        self._flow, self._restorer = flow, Restorer(flow.network)

    def predict(self, rows: pandas.DataFrame, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return a record per draw of the pictures in ``rows``; what is wrong is answered with status 400, in a line.

        ``params``: ``seed``, ``temperature`` (None: the model's own), ``draws`` (None: four, or one at temperature 0).
        """
        chosen = dict(params or {})
        try:
            return [record for row in rows.to_dict("records") for record in self._restore(row, chosen)]
        except SteadyflowError as error:
            raise bad_request(str(error)) from None

    def _restore(self, row: Mapping[str, Any], params: Mapping[str, Any]) -> list[dict[str, Any]]:
        given = row.get("name")
        name = (PurePosixPath(given).name if isinstance(given, str) else "") or UNNAMED
        own = self._flow.config.temperature
        temperature, draws = how_to_draw(own, params.get("temperature"), params.get("draws"), USUAL_DRAWS)
        seed = params.get("seed")
        content = _decoded(row["image"], name)
        chosen = SEED if seed is None else seed
        drawn = restore_picture(self._flow, self._restorer, content, name, draws, temperature, chosen)
        return [
            {
                "name": draw.file,
                "image": base64.b64encode(png_bytes(draw.pixels)).decode(),
                **{count: draw.statistics[count] for count in COUNTS},
            }
            for draw in drawn
        ]


def _decoded(text: Any, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise DataError(
            f"the image of {brief(name)} is no base64: {brief(text)}; send the bytes of a picture file as base64, "
            "without line ends and without a data: prefix"
        ) from None


def _load_pyfunc(path: str) -> ServedFlow:
    """Return the model in the folder ``path``; MLflow looks for this function by name."""
    return ServedFlow(load_flow(Path(path), choose_device(RuntimeConfig())))
