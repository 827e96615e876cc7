"""A published checkpoint as a model that tells likelihoods and draws, and as a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pipeline.errors import CheckpointError, SteadyflowError
from pipeline.files import sha256_of, write_json
from pipeline.inference.sampling import draw_images
from pipeline.kinds.objectives import NegativeLogLikelihood
from pipeline.model_folder import build, save_model
from pipeline.shapes_alone import shapes_alone
from pipeline.upstream.families import Recognized, recognize
from pipeline.upstream.isolated import read_apart
from pipeline.upstream.layout import read_layout
from pipeline.upstream.mapping import adopt
from pipeline.upstream.options import read_options

LICENCE = (
    "The published weights and code of SRFlow, NCSR, FS-NCSR, robustNF and LLFlow are for non-commercial use; "
    "what is imported from them stays under their licences."
)
_DIMENSIONS = 3  # per pixel


class Nll(NamedTuple):
    """Negative log-likelihood of each picture, ``(B,)``."""

    published: Tensor  # nats / (ln 2 * H * W)
    bits_per_dim: Tensor  # a third of it; of the continuous density, so it can be negative


class UpstreamModel(nn.Module):
    """A published network in ours: ``network`` is the flow, ``family`` its name, ``notes`` what was assumed."""

    def __init__(self, network: Any, recognized: Recognized, tensors: int, values: int) -> None:
        super().__init__()
        self.network = network
        self.config = recognized.config
        self.family = recognized.family
        self.notes = recognized.notes
        self.tensors = tensors  # how many the checkpoint holds, all of them used
        self.values = values  # how many numbers they hold
        self.eval()

    @torch.no_grad()
    def nll(self, hr: Tensor, lr: Tensor, noise: Tensor | None = None, lr_noise: Tensor | None = None) -> Nll:
        """Return the nll of ``hr`` ``(B, 3, H, W)`` in [0, 1] given the network's input ``lr``.

        ``lr`` is ``(B, 3, H / scale, W / scale)`` in [0, 1]; for LLFlow ``(B, 6, H, W)``, the log of the picture
        and its equalized histogram (``KINDS[model.config.kind].from_picture`` makes it), and the latent's mean is the
        learned colour map. ``noise`` and ``lr_noise``, of NCSR's networks, are what training adds to both.
        Raises SteadyflowError for pictures of impossible sizes.
        """
        self._check(lr)
        scale, multiple = self.network.scale, self.network.multiple
        if hr.shape != (lr.shape[0], 3, lr.shape[2] * scale, lr.shape[3] * scale) or any(
            side % multiple for side in lr.shape[2:]
        ):
            raise SteadyflowError(
                f"nll: HR {tuple(hr.shape)} and LR {tuple(lr.shape)} do not fit: HR must be {scale} times LR, whose "
                f"sides must be multiples of {multiple}"
            )
        if noise is None and lr_noise is None:
            extra: tuple[Tensor | None, ...] = ()
        elif any(self.config.network.get("noise_steps", ())):
            extra = (noise, lr_noise)
        else:
            raise SteadyflowError(f"nll: {self.family.name} has no noise conditioning; leave the noise out")
        published = NegativeLogLikelihood(self.network).per_image(hr, lr, *extra)  # type: ignore[arg-type]
        return Nll(published, published / _DIMENSIONS)

    def sample(self, lr: Tensor, temperature: float, seed: int = 10) -> Tensor:
        """Return one draw per picture, un-clamped ``(B, 3, H, W)``, for an input as ``nll`` takes it, of any size.

        Temperature 0 gives the most likely latent's picture, which for LLFlow is the published result. Sizes
        that the network cannot take are padded by reflection and cropped again.
        """
        self._check(lr)
        if not temperature >= 0:
            raise SteadyflowError(f"sample: temperature must be 0 or more, got {temperature}")
        draws = [
            next(draw_images(self.network, picture[None], 1, temperature, seed, str(index)))
            for index, picture in enumerate(lr)
        ]
        return torch.stack(draws)

    def _check(self, lr: Tensor) -> None:
        channels = 6 if self.config.kind == "low_light" else 3
        if lr.dim() != 4 or lr.shape[1] != channels or not lr.shape[0]:
            raise SteadyflowError(f"{self.family.name} takes (B, {channels}, h, w), got {tuple(lr.shape)}")


def load_upstream(weights: Path, options: Path | None = None, overrides: Sequence[str] = ()) -> UpstreamModel:
    """Return a published checkpoint as a model of ours, in eval mode on the CPU.

    ``options`` is the .yml it was trained with, ``overrides`` are changes to it such as
    ``network_G.flow.CondAffineSeparatedAndCond.eps=0.1``. What they leave open is told from the weights; what
    weights cannot tell is the published choice, and ``notes`` says so. Nothing in the files is run. Raises
    CheckpointError, in one line, for whatever does not fit.
    """
    weights, options = Path(weights), Path(options) if options else None
    tensors = read_apart(weights)
    recognized = recognize(weights, tensors, read_layout(weights, tensors), read_options(options, overrides))
    config = recognized.config
    try:
        with shapes_alone():  # nothing to initialize: every tensor comes from the file
            network = build(config)
    except ValueError as error:
        raise CheckpointError(f"{weights} and its options tell no possible network: {error}") from None
    network.load_state_dict(adopt(weights, tensors, network, config.transform["name"]), assign=True)
    broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        note = f"{len(broken)} tensors hold NaN or infinity, such as {broken[0]}: the training had diverged"
        recognized = Recognized(recognized.family, config, (*recognized.notes, note))
    return UpstreamModel(network, recognized, len(tensors), sum(tensor.numel() for tensor in tensors.values()))


def import_upstream(weights: Path, options: Path | None, out: Path, overrides: Sequence[str] = ()) -> UpstreamModel:
    """Write a published checkpoint to ``out`` as a model folder, with what is known of it in import.json; return it.

    Raises CheckpointError as ``load_upstream`` does, and for an ``out`` that is no folder.
    """
    if out.exists() and not out.is_dir():
        raise CheckpointError(f"{out} is a file; --out must be a folder to write the model to")
    model = load_upstream(weights, options, overrides)
    save_model(out, model.network, model.config)
    write_json(
        out / "import.json",
        {
            "family": model.family.name,
            "weights": weights.name,
            "sha256": sha256_of(weights),
            "options": options.name if options else None,
            "overrides": list(overrides),
            "tensors": model.tensors,
            "values": model.values,
            "published_temperature": model.family.temperature,
            "notes": list(model.notes),
            "licence": LICENCE,
        },
    )
    return model
