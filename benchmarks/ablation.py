"""What does what: the certified spline's bounded shift and slopes, what keeps a training alive, at any length.

    python benchmarks/ablation.py --project . --out ablation --tasks df2k_x4,lol --seeds 10,11,12 --steps 500,7000
    python benchmarks/ablation.py --project . --out survival --tasks own_x4 --seeds 10,11,12 --steps 7000 \
        --variants affine,bounded,rq_spline,certified_spline --rates 1,2 --survival on,clipped
    python benchmarks/ablation.py --project . --out ablation --tasks df2k_x4 --seeds 10 --steps 4   # does it run at all

``--project``: a folder with params.yaml, whose pictures are prepared (``steadyflow repro prepare``); it is only read. A
seed's encoder is taken from there, or pretrained. shift_alone and slopes_alone are its certified_spline with 1e6 in
place of the other bound, which is as good as none; other names are its own variants. ``--rates``: what the profile's
learning rate is multiplied by. ``--survival off``: without clip_spikes and recovery, whatever the profile says;
``clipped``: without recovery alone. Trained as ``steadyflow repro`` trains, measured by its metrics and audits on
held-out pictures and on stress inputs, with an attack on the input; a training that diverged has a row with nothing but
its end. What is measured is kept in ``--out``/ablation.csv, so that a run that was stopped goes on after the last row.
Minutes per row of 500 steps on one core.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
from pathlib import Path

import torch
from kept_rows import KeptRows
from round_trip import round_trip_in_bfloat16

from pipeline.console import run_main, say
from pipeline.errors import DivergenceError
from pipeline.experiment import Experiment
from pipeline.files import read_csv, read_json
from pipeline.inference.held_out import held_out_crops
from pipeline.inference.restore import restore_crops
from pipeline.layout import encoder_folder
from pipeline.metrics.evaluate import evaluate
from pipeline.model_folder import load_flow
from pipeline.params import load_params
from pipeline.stability.audit import audit
from pipeline.training.jobs import Job
from pipeline.training.pretrain import pretrain
from pipeline.training.ray_train import launch
from pipeline.training.train import train

FREE = 1e6
SURVIVAL = {  # what is taken from the profile's training
    "on": {},
    "off": {"settings.training.clip_spikes": None, "settings.training.recovery": None},
    "clipped": {"settings.training.recovery": None},
}
VARIANTS = {"shift_alone": {"lipschitz": FREE}, "slopes_alone": {"shift": FREE}}  # what differs from certified_spline
ANALYSES = {
    "bad_pixels": {},
    "reconstruction": {},
    "certified_bound": {},
    "draw_attack": {"steps": 12, "pictures": 1, "side": 32},
}
KEY = ("task", "steps", "seed", "variant", "rate", "survival")
COLUMNS = (
    *(*KEY, "end", "returns", "bits_per_dim", "best_bits_per_dim", "lpips", "lr_psnr_worst"),
    *("bad_share_stress", "largest_stress"),
    *("bad_share_photographs", "attacked_largest", "attacked_largest_3_sigma", "reconstruction_float32"),
    *("reconstruction_bfloat16", "certified_value", "certified_draw", "skipped_steps", "minutes"),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", default="df2k_x4")
    parser.add_argument("--seeds", default="10")
    parser.add_argument("--steps", default="500")
    parser.add_argument("--variants", default=",".join([*VARIANTS, "certified_spline"]), help="%(default)s")
    parser.add_argument("--rates", default="1", help="%(default)s")
    parser.add_argument("--survival", default="on", help=f"of {', '.join(SURVIVAL)} (%(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if unknown := set(arguments.survival.split(",")) - set(SURVIVAL):
        parser.error(f"--survival: {', '.join(sorted(unknown))} is none; allowed: {', '.join(SURVIVAL)}")
    torch.set_num_threads(arguments.threads)
    rows = KeptRows(arguments.out / "ablation.csv", KEY, COLUMNS)
    root = _own_project(arguments.project, arguments.out)
    params = load_params(root / "params.yaml")
    asked = (getattr(arguments, name) for name in ("tasks", "steps", "seeds", "variants", "rates", "survival"))
    for cell in itertools.product(*(names.split(",") for names in asked)):
        if cell not in rows:
            rows.keep(dict(zip(KEY, cell, strict=True)) | measure(root, params, *cell))
        _say(rows[cell])


def experiment_of(params, task: str, steps: str, seed: str, variant: str, rate: str, survival: str) -> Experiment:
    """Return what is trained for one row."""
    chosen = Experiment.of(params, task, params.seeds[0], "certified_spline" if variant in VARIANTS else variant)
    changes = {f"design.options.{name}": value for name, value in VARIANTS.get(variant, {}).items()}
    changes |= {"variant": variant, "seed": int(seed), "settings.training.steps": int(steps)}
    changes["settings.training.learning_rate"] = float(rate) * chosen.settings.training.learning_rate
    return chosen.vary(changes | SURVIVAL[survival])


def measure(root: Path, params, task: str, steps: str, seed: str, variant: str, rate: str, survival: str) -> dict:
    """Train one variant and return what its row says beside the key."""
    chosen = experiment_of(params, task, steps, seed, variant, rate, survival)
    if not (encoder_folder(root, task, chosen.seed) / "weights.safetensors").exists():
        launch(Job(root, Experiment.of(params, task, params.seeds[0]).vary({"seed": chosen.seed})), pretrain)
    folder = root.parent / task / f"steps{steps}" / f"seed{seed}" / f"rate{rate}" / survival / variant
    try:
        launch(Job(root, chosen, folder), train)
    except DivergenceError as error:
        return {"end": str(error).partition(";")[0]}
    return {**_trained(folder), **_measured(folder, root, chosen)}


def _trained(folder: Path) -> dict:
    summary, held_out = (
        read_json(folder / "training" / "summary.json"),
        read_csv(folder / "training" / "validation.csv"),
    )
    return {
        "end": "collapsed" if summary["collapsed"] else "well",
        "bits_per_dim": summary["validation_bits_per_dim"],
        "best_bits_per_dim": min((float(row["bits_per_dim"]) for row in held_out if row["bits_per_dim"]), default=None),
        **{name: summary[name] for name in ("returns", "skipped_steps", "minutes")},
    }


def _measured(folder: Path, root: Path, chosen: Experiment) -> dict:
    seed, task, variant = chosen.seed, chosen.task, chosen.variant
    flow, settings = load_flow(folder / "model"), chosen.settings
    crops = held_out_crops(root, chosen)
    restore_crops(flow, crops, folder / "samples", settings.sampling, seed)
    evaluation = evaluate(folder / "samples", task, variant)
    limits = settings.stability.model_copy(update={"analyses": ANALYSES})
    audited = held_out_crops(root, chosen, limit=limits.pictures)
    found = audit(flow, audited, folder / "stability", limits, seed)["analyses"]
    bad, attacked, certain = found["bad_pixels"], found["draw_attack"], found["certified_bound"]
    return {
        "lpips": evaluation.metrics.get("lpips", evaluation.metrics.get("lpips_draws_mean")),
        "lr_psnr_worst": evaluation.metrics.get("lr_psnr_worst"),
        **{name: bad[name] for name in ("bad_share_stress", "largest_stress")},
        "bad_share_photographs": bad["bad_share_in_distribution"],
        "attacked_largest": attacked["largest_free_drawn"],
        "attacked_largest_3_sigma": attacked["largest_free_3_sigma"],
        "reconstruction_float32": found["reconstruction"]["image_max_abs"],
        "reconstruction_bfloat16": round_trip_in_bfloat16(flow, audited),
        "certified_value": certain["value"],
        "certified_draw": certain["draw"],
    }


def _own_project(project: Path, out: Path) -> Path:
    """Return a folder with the project's settings, pictures and encoders, so that nothing is written to its own."""
    own = (out / "project").resolve()
    own.mkdir(parents=True, exist_ok=True)
    shutil.copy(project / "params.yaml", own)
    if not (own / "data").exists():
        (own / "data").symlink_to((project / "data").resolve(), target_is_directory=True)
    for encoder in (project / "artifacts").glob("*/seed*/encoder"):
        shutil.copytree(encoder, own / encoder.relative_to(project), dirs_exist_ok=True)
    return own


def _say(row: dict[str, object]) -> None:
    shown = (f"{name} {float(row[name]):.4g}" for name in COLUMNS[len(KEY) + 1 :] if row[name] not in (None, ""))
    setting = f"{row['steps']} steps, seed {row['seed']}, rate times {row['rate']}, survival {row['survival']}"
    say(f"{row['task']} {row['variant']}, {setting}: {row['end']}; {', '.join(shown)}")


if __name__ == "__main__":
    run_main(main)
