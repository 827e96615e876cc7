"""What a shield does to the models of `make repro`, before against after, on pictures that calibrated nothing.

    python benchmarks/shield.py --out shields                              # affine of all tasks, a minute each
    python benchmarks/shield.py --out shields --variants affine,bounded,rq_spline,certified_spline --seeds all --attack
    python benchmarks/shield.py --out shields --tasks df2k_x4 --calibrated-on lol,celeba_x8,FOLDER --pictures 1,4,16,64

``--root``: where `make repro` has ended; it is only read. A row per task, variant, seed and quantile; "none" is the
model as it was trained, "budget" a shield whose quantile 55 dB decide. ``--calibrated-on``: "own" is 96 crops of the
task's training pictures, as the stage `shield` takes them; the name of another task, or a folder, gives its pictures to
what `steadyflow shield` does with them, ``--pictures`` of them ("all": at most 96). Low light takes tasks alone.
``--without PART,…``: a shield without that part, which says how much of what is found is the part's; see
benchmarks/shield_parts.py.

Measured on the held-out pictures and by the audit: its stress inputs, at its temperature. "held_out_agreement":
decibels between shielded and unshielded draws of held-out crops, both clamped to [0, 1]; "agreement" is what
config.json says, of crops that were among those given. ``--attack``: 40 steps of signed gradient on two crops of 64
pixels, in low light 32 (the analysis draw_attack; half a minute a row). What is measured is kept in
``--out``/shield.csv, so that a run that was stopped goes on after the last row.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from kept_rows import KeptRows
from round_trip import round_trip_in_bfloat16
from shield_parts import NOTHING, PARTS, parts_of, take_away

from pipeline.console import run_main, say
from pipeline.errors import SteadyflowError
from pipeline.experiment import Experiment
from pipeline.feed.of_task import pairs_of
from pipeline.files import read_json
from pipeline.inference.held_out import held_out_crops, spread
from pipeline.inference.reference_pairs import named_pictures
from pipeline.inference.restore import restore_crops
from pipeline.kinds.objectives import NegativeLogLikelihood
from pipeline.layout import variant_folder
from pipeline.metrics.evaluate import evaluate
from pipeline.model_folder import LoadedFlow, load_flow
from pipeline.params import load_params
from pipeline.pictures.eight_bit import to_tensor, write_png
from pipeline.shielding.calibration import decibels, draws_of, shield_flow
from pipeline.shielding.crops import calibration_crops, prepared_crops
from pipeline.shielding.usual import BUDGET as DECIBELS
from pipeline.stability.audit import audit

TRAINED, BUDGET, OWN, ALL = "none", "budget", "own", "all"
ANALYSES = {"bad_pixels": {}, "reconstruction": {}, "certified_bound": {}}
ATTACKED = ("free_drawn", "near_drawn", "near_3_sigma", "free_3_sigma")  # settings of the analysis draw_attack
GOALS = ("largest", "bad_share")
STRESS = ("bad_share_stress", "largest_stress", "bad_share_stress_before_tails", "largest_stress_before_tails")
RATIO = "log10_bound_over_largest"  # least over all settings, 6 sigma among them
CERTAIN = ("good_latent", "good_draw")  # standard deviations up to which no value is bad, or hardly any of a draw
FIDELITY = ("lpips", "psnr", "ssim_colour")  # of draws, in low light of their mean
KEY = ("task", "variant", "seed", "quantile", "calibrated_on", "pictures", "without", "attack")
COLUMNS = (
    *(*KEY, "chosen", "crops", "minutes", "agreement", "held_out_agreement", *STRESS),
    *("bad_share_photographs", *FIDELITY, "lr_psnr_worst", "bits_per_dim"),
    *("round_trip", "round_trip_bfloat16", "bound", *CERTAIN),
    *(f"baseline_{name}" for name in FIDELITY),  # without a network
    *(f"{where}_{goal}" for where, goal in itertools.product(ATTACKED, GOALS)),
    RATIO,
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", default="", help="all of params.yaml")
    parser.add_argument("--variants", default="affine", help="%(default)s")
    parser.add_argument("--seeds", default="", help="the first of params.yaml; all: all that have the model")
    parser.add_argument("--quantiles", default="", help=f"{TRAINED}, and that of the shields in params.yaml")
    parser.add_argument("--calibrated-on", default=OWN, help="%(default)s")
    parser.add_argument("--pictures", default=ALL, help="%(default)s")
    parser.add_argument("--without", default=NOTHING, help=f"{', '.join(PARTS)}, or several (%(default)s)")
    parser.add_argument("--attack", action="store_true")
    arguments = parser.parse_args()
    if unknown := set(arguments.without.split(",")) - set(PARTS):
        parser.error(f"--without: a shield has no part {', '.join(sorted(unknown))}; allowed: {', '.join(PARTS)}")
    torch.set_num_threads(1)
    rows = KeptRows(arguments.out / "shield.csv", KEY, COLUMNS)
    params = load_params(arguments.root / "params.yaml")
    arguments.quantiles = arguments.quantiles or f"{TRAINED},{usual_quantile(params):g}"
    for cell in cells(arguments, params):
        if cell not in rows:
            rows.keep(dict(zip(KEY, cell, strict=True)) | measure(arguments, params, *cell))
        _say(rows[cell])


def cells(arguments, params) -> list[tuple[str, ...]]:
    """Return the keys of all rows that are asked for, but for parts that a shield does not have; a model as trained has
    one row, and is calibrated on nothing.
    """
    tasks = arguments.tasks.split(",") if arguments.tasks else list(params.tasks)
    rest = (arguments.quantiles, arguments.calibrated_on, arguments.pictures, arguments.without)
    attack = "yes" if arguments.attack else "no"
    found = []
    for task, variant in itertools.product(tasks, arguments.variants.split(",")):
        for seed in seeds_of(arguments, params, task, variant):
            for quantile, source, pictures, part in itertools.product(*(names.split(",") for names in rest)):
                if part not in parts_of(params.tasks[task].kind, caps_of(params, variant)):
                    continue
                calibrated = (source, ALL if source == OWN else pictures, part)
                calibrated = ("", "", "") if quantile == TRAINED else calibrated
                found.append((task, variant, seed, quantile, *calibrated, attack))
    return list(dict.fromkeys(found))


def caps_of(params, variant: str) -> dict[str, float]:
    """Return the caps of a variant; of one that params.yaml does not have, which has no model either, none."""
    return params.variants[variant].caps if variant in params.variants else {}


def usual_quantile(params) -> float:
    """Return the first quantile among the shields of params.yaml. SteadyflowError if there is none."""
    for chosen in params.shields.values():
        if chosen.quantile is not None:
            return chosen.quantile
    raise SteadyflowError("no shield of params.yaml has a quantile; give --quantiles")


def seeds_of(arguments, params, task: str, variant: str) -> list[str]:
    """Return the seeds that are asked for."""
    if arguments.seeds != ALL:
        return arguments.seeds.split(",") if arguments.seeds else [str(params.seeds[0])]
    models = (arguments.root / "artifacts" / task).glob(f"seed*/{variant}/model/config.json")
    return sorted((model.parts[-4].removeprefix("seed") for model in models), key=int)


def measure(arguments, params, task, variant, seed, quantile, source, pictures, without, attack) -> dict:
    """Shield one model and return what its row says beside the key."""
    chosen = Experiment.of(params, task, params.seeds[0], variant).vary({"seed": int(seed)})
    model = variant_folder(arguments.root, task, variant, chosen.seed)
    named = (task, variant, seed, quantile, source.replace("/", "-"), pictures, without)
    scratch = arguments.out / "_".join(named).rstrip("_")
    flow = load_flow(model / "model")
    if quantile == TRAINED:
        found = {"minutes": read_json(model / "training" / "summary.json")["minutes"]}
        return found | measured(flow, arguments.root, chosen, scratch, attack == "yes")
    crops = crops_of(arguments.root, params, chosen, flow, source, pictures, scratch)
    start = time.perf_counter()
    how_far = {"budget": DECIBELS} if quantile == BUDGET else {"quantile": float(quantile)}
    shielded = shield_flow(flow, crops, chosen.seed, **how_far)
    take_away(without, shielded.network, flow.network)
    told = shielded.config.shield
    found = {"minutes": (time.perf_counter() - start) / 60, "chosen": told["quantile"], "crops": told["crops"]}
    pairs = _pairs(flow, arguments.root, chosen)
    drawn = [draws_of(one, pairs, chosen.seed) for one in (flow, shielded)]
    found |= {"agreement": told["agreement"] if without == NOTHING else None, "held_out_agreement": decibels(*drawn)}
    return found | measured(shielded, arguments.root, chosen, scratch, attack == "yes")


def crops_of(root: Path, params, chosen: Experiment, flow: LoadedFlow, source: str, pictures: str, scratch: Path):
    """Return what calibrates: crops of the task's own training pictures, or of so many of another place's."""
    if source == OWN:
        return prepared_crops(root, chosen)
    most = None if pictures == ALL else int(pictures)
    originals, inputs = scratch / "originals", scratch / "inputs"
    if source not in params.tasks:
        originals.mkdir(parents=True, exist_ok=True)
        for file in spread(list(named_pictures(Path(source), "--calibrated-on").values()), most):
            (originals / file.name).unlink(missing_ok=True)
            (originals / file.name).symlink_to(file.resolve())
        return calibration_crops(flow, originals, None)
    pairs = pairs_of(root, Experiment.of(params, source, params.seeds[0]), "train")
    for index in spread(list(range(len(pairs.ids))), most):
        height, width = pairs.shape(index)
        sides = pairs.crop(index, 0, 0, height, width)
        for folder, side in zip((originals, inputs), sides[:2] if flow.network.scale == 1 else sides[:1], strict=False):
            write_png(folder / f"{pairs.ids[index]}.png", side)
    return calibration_crops(flow, originals, inputs if inputs.exists() else None)


def measured(flow: LoadedFlow, root: Path, chosen: Experiment, folder: Path, attack: bool) -> dict:
    """Return what is told of one flow, shielded or not; draws and the audit's files are written to ``folder``."""
    settings = chosen.settings
    restore_crops(flow, held_out_crops(root, chosen), folder / "samples", settings.sampling, chosen.seed)
    evaluation = evaluate(folder / "samples", flow.config.task, flow.config.variant)
    metrics = evaluation.metrics
    limits = settings.stability.model_copy(update={"analyses": ANALYSES | (attack_on(flow) if attack else {})})
    audited = held_out_crops(root, chosen, limit=limits.pictures)
    found = audit(flow, audited, folder / "stability", limits, chosen.seed)["analyses"]
    bad, attacked = found["bad_pixels"], found.get("draw_attack", {})
    return {
        **{name: bad[name] for name in STRESS},
        "bad_share_photographs": bad["bad_share_in_distribution"],
        **{name: _of_draws(metrics, name) for name in FIDELITY},
        **{f"baseline_{name}": _of_draws(evaluation.baseline, name) for name in FIDELITY},
        "lr_psnr_worst": metrics.get("lr_psnr_worst"),
        "bits_per_dim": bits_per_dim(flow, _pairs(flow, root, chosen)),
        "round_trip": found["reconstruction"]["image_max_abs"],
        "round_trip_bfloat16": round_trip_in_bfloat16(flow, audited),
        "bound": found["certified_bound"]["value"],
        **{name: found["certified_bound"][name] for name in CERTAIN},
        **{f"{where}_{goal}": attacked.get(f"{goal}_{where}") for where in ATTACKED for goal in GOALS},
        RATIO: attacked.get(RATIO),
    }


def attack_on(flow: LoadedFlow) -> dict:
    """Return the attack: in low light on smaller crops, as an input has all of their pixels."""
    return {"draw_attack": {"distance": False, "side": 64 if flow.network.scale > 1 else 32}}


def _of_draws(metrics: dict[str, float | None], name: str) -> float | None:
    """Return a metric of draws, in low light of the mean of draws."""
    return metrics.get(f"{name}_draws_mean", metrics.get(name))


@torch.no_grad()
def bits_per_dim(flow: LoadedFlow, pairs) -> float:
    """Return the mean negative log-likelihood of held-out crops."""
    objective = NegativeLogLikelihood(flow.network)
    return float(torch.cat([objective.per_image(*pair) for pair in pairs]).mean() / 3)


def _pairs(flow: LoadedFlow, root: Path, chosen: Experiment):
    crops = held_out_crops(root, chosen)
    return [flow.kind.pair([to_tensor(side) for side in sides], flow.network.scale) for _, sides in crops]


def _say(row: dict[str, object]) -> None:
    shown = (f"{name} {float(row[name]):.4g}" for name in COLUMNS[len(KEY) :] if row[name] not in (None, ""))
    source = f", {row['pictures']} pictures of {row['calibrated_on']}" if row["calibrated_on"] else ""
    source += f", without {row['without']}" if row["without"] not in ("", NOTHING) else ""
    say(f"{row['task']} {row['variant']}, seed {row['seed']}, quantile {row['quantile']}{source}: {', '.join(shown)}")


if __name__ == "__main__":
    run_main(main)
