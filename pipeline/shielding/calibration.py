"""Calibrating a shield: which values photographs produce inside of a trained flow, and how far to clamp to them.

One pass over the crops, to their latents and back from drawn ones, remembers some pixels of everything that is clamped,
equally many whatever the number of crops. Where a draw has bad values (paper A, section 3.2) it is no photograph: what
stands there, at every level, is forgotten. Every quantile is fitted to the same pixels, so that trying several costs
draws and no further pass. A quarter of the crops tells the agreement first, and calibrates with the others then: of few
pictures each shows values that no other has.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.restoration.shielding import add_shield, fit_shield, ranges_of, usual_tails
from models.restoration.tails import Tails
from pipeline.console import progress
from pipeline.errors import SteadyflowError
from pipeline.inference.held_out import Crop
from pipeline.inference.sampling import draw_images
from pipeline.model_folder import LoadedFlow
from pipeline.pictures.eight_bit import BAD_ABOVE, BAD_BELOW, bad_values, to_tensor, value_statistics
from pipeline.seeds import generator, seed_of
from pipeline.shielding.usual import QUANTILE
from pipeline.stability.measure.bounds import restoration_bound

# from loose to tight: what a budget chooses from
QUANTILES = (0.0, 0.0001, 0.0003, 0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.011, 0.015, 0.02, 0.03, 0.04, 0.06)
_MARGIN = 0.05  # of a range, over which a clamp bends
_KEPT = 8192  # values per channel and pass (there, and back at two temperatures) that quantiles are told from
_HOTTEST = 0.9  # draws are seen up to this temperature at least: SRFlow's
LATENT = 6.0  # standard deviations, of the certified bound
_DRAWS = 2
_MOST_DECIBELS = 100.0  # of equal draws
_HELD_OUT = 4  # the first of so many parts of the crops tells the agreement before it calibrates too

Pair = tuple[Tensor, Tensor]  # the original (1, 3, H, W) and what the network sees of its degraded picture


def shield_flow(
    flow: LoadedFlow, crops: Sequence[Crop], seed: int, quantile: float | None = None, budget: float | None = None
) -> LoadedFlow:
    """Return a shielded copy of ``flow``, calibrated on ``crops``: names and sides ``(H, W, 3)`` uint8, target first.

    ``quantile``: what share of the values of photographs is clamped at each end; None: ``QUANTILE``. ``budget``, in its
    place: the largest
    of ``QUANTILES`` at which draws of a quarter of the crops, while the others alone calibrate, keep to so many dB of
    the unshielded ones, or the least if none does; of a single crop, which calibrates, its own. Unshielded draws with
    bad values are no yardstick: they are left out, unless all are.
    Raises SteadyflowError for a flow that has a shield, and where photographs make values that are not finite;
    ValueError for both a quantile and a budget.
    """
    if quantile is not None and budget is not None:
        raise ValueError("a shield has a quantile or a budget, not both")
    refuse_shielded(flow)
    pairs = [
        flow.kind.pair([to_tensor(side).to(flow.device) for side in sides], flow.network.scale) for _, sides in crops
    ]
    # crops of one picture stand together: the first ones are of other pictures than most of the rest
    count = math.ceil(len(pairs) / _HELD_OUT)
    judged, others = pairs[:count], pairs[count:]
    shielded = _with_empty_ranges(flow)
    pixels = _seen(shielded, others or judged, "shield", seed, len(pairs))
    before = draws_of(flow, judged, seed)
    tried: dict[float, float | None] = {}

    def agreement_at(share: float) -> float | None:
        fit_shield(shielded.network, pixels, share)
        if share not in tried:
            tried[share] = decibels(before, draws_of(shielded, judged, seed))
        return tried[share]

    if budget is None:
        share = QUANTILE if quantile is None else quantile
    else:
        share = _largest_within(budget, agreement_at)
    agreement = agreement_at(share)
    if others:
        added = _seen(shielded, judged, "shield too", seed, len(pairs))
        for name in list(added):  # one by one, for the memory's sake
            pixels[name] = torch.cat([pixels[name], added.pop(name)], 1)
        fit_shield(shielded.network, pixels, share)
    tails = usual_tails(shielded.network)
    shielded.network.tails = Tails(**tails)
    bound = restoration_bound(shielded.network)
    described = {
        "margin": _MARGIN,
        "tails": tails,
        "quantile": share,
        "agreement": agreement,
        "bound": bound.value(LATENT) if bound else None,
        "good_draw": bound.good_draw() if bound else None,
        "crops": len(pairs),
        "crops_sha256": _hash(crops),
    }
    return dataclasses.replace(shielded, config=dataclasses.replace(shielded.config, shield=described))


def summary_line(flow: LoadedFlow) -> str:
    """Return how a shielded flow was calibrated, in a line for people."""
    found = flow.config.shield or {}
    told = "not a number" if found["agreement"] is None else f"{found['agreement']:.1f} dB"
    if found["crops"] == 1:
        return f"quantile {found['quantile']:g}, calibrated on one crop; its draws against unshielded: {told}"
    return (
        f"quantile {found['quantile']:g}, calibrated on {found['crops']} crops; draws of a quarter of them against "
        f"unshielded, before it calibrated too: {told}"
    )


def refuse_shielded(flow: LoadedFlow) -> None:
    """Raise SteadyflowError if ``flow`` has a shield."""
    if flow.config.shield is not None:
        raise SteadyflowError("this model has a shield already; give the model folder that it was made of")


def _with_empty_ranges(flow: LoadedFlow) -> LoadedFlow:
    """Return a copy of ``flow`` that has ranges, empty ones."""
    network = copy.deepcopy(flow.network)
    caps = dict(flow.config.caps)
    if getattr(network, "residual", False):
        network.overshoot = caps["overshoot"] = 0.0  # type: ignore[assignment]
    add_shield(network, _MARGIN)
    return dataclasses.replace(flow, network=network, config=dataclasses.replace(flow.config, caps=caps))


def _seen(flow: LoadedFlow, pairs: Sequence[Pair], stream: str, seed: int, of: int) -> dict[str, Tensor]:
    """Return the pixels ``(D, n)`` that ``pairs``, some ``of`` so many, produce in each range of ``flow``, which clamps
    nothing meanwhile.
    """
    network, own = flow.network, flow.config.temperature
    ranges = ranges_of(network)
    met = [one for name, one in ranges.items() if not name.startswith("feature_ranges")]  # on the way from a latent
    for one in ranges.values():
        one.record(math.ceil(_KEPT / of))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed_of(stream, seed))  # which values are remembered
        for index, (original, seen) in enumerate(progress(pairs, "calibrate")):
            condition = network.share(seen)
            network(original, condition)
            shape = network.latent_shape(*seen.shape[2:])
            z = torch.randn((1, *shape), generator=generator(f"{stream} latent", seed, index)).to(seen.device)
            for temperature in sorted({own, max(own, _HOTTEST)}):
                drawn = network.inverse(temperature * z, condition)[0]
                bad = ~((drawn >= BAD_BELOW) & (drawn <= BAD_ABOVE)).all(1, keepdim=True)  # NaN is neither
                for one in met:
                    one.forget(bad)
    pixels = {name: one.stop() for name, one in ranges.items()}
    broken = [name for name, found in pixels.items() if not found.isfinite().all()]
    if broken:
        raise SteadyflowError(
            f"photographs already make values that are not finite in {len(broken)} of {len(pixels)} places (such as "
            f"{broken[0]}): a shield keeps to what photographs produce, and here there is nothing to keep to"
        )
    return pixels


def _largest_within(budget: float, agreement_at: Callable[[float], float | None]) -> float:
    """Return the largest of ``QUANTILES`` whose agreement is ``budget`` or more, or 0; it falls as they grow."""
    low, high = 0, len(QUANTILES)
    while high - low > 1:
        middle = (low + high) // 2
        agreement = agreement_at(QUANTILES[middle])
        low, high = (middle, high) if agreement is not None and agreement >= budget else (low, middle)
    return QUANTILES[low]


def _is_bad(picture: Tensor) -> bool:
    return bad_values(value_statistics(picture)) > 0


def draws_of(flow: LoadedFlow, pairs: Sequence[Pair], seed: int) -> list[Tensor]:
    """Return draws of every pair at the model's own temperature, ``(n, 3, H, W)`` each, un-clamped."""
    temperature = flow.config.temperature
    return [
        torch.stack(list(draw_images(flow.network, seen, _DRAWS, temperature, seed, f"shield {index}")))
        for index, (_, seen) in enumerate(pairs)
    ]


def decibels(before: Sequence[Tensor], after: Sequence[Tensor]) -> float | None:
    """Return the PSNR between draws in [0, 1], those without bad values before if there are any; None: no number."""
    pairs = [pair for crop in zip(before, after, strict=True) for pair in zip(*crop, strict=True)]
    judged = [(one, other) for one, other in pairs if not _is_bad(one)] or pairs
    squares = torch.cat([(one.clamp(0.0, 1.0) - other.clamp(0.0, 1.0)).square().flatten() for one, other in judged])
    error = float(squares.double().mean())
    if math.isnan(error):
        return None
    return min(_MOST_DECIBELS, -10.0 * math.log10(error)) if error else _MOST_DECIBELS


def _hash(crops: Sequence[Crop]) -> str:
    digest = hashlib.sha256()
    for _, sides in crops:
        for side in sides:
            digest.update(repr(side.shape).encode() + side.tobytes())
    return digest.hexdigest()
