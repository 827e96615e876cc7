"""What of the certified spline does what: its bounded shift, its bounded slopes, both, at any length of training.

    python benchmarks/ablation.py --project . --out ablation --tasks df2k_x4,lol --seeds 10,11,12 --steps 500,7000
    python benchmarks/ablation.py --project . --out ablation --tasks df2k_x4 --seeds 10 --steps 4   # does it run at all

``--project``: a folder with params.yaml, whose pictures are prepared (``steadyflow repro prepare``); it is only read. A
seed's encoder is taken from there, or pretrained. Variants differ in two options: a slope bound of 1e6 and a shift of
1e6 are as good as none. Trained as ``steadyflow repro`` trains, measured by its metrics and audits on the held-out
pictures and on stress inputs, with an attack on the input. What is measured is kept in ``--out``/ablation.csv, so that
a run that was stopped goes on after the last row. Minutes per row of 500 steps on one core.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
from pathlib import Path

import torch

from pipeline.console import run_main, say
from pipeline.experiment import Experiment
from pipeline.files import read_csv, read_json, write_csv
from pipeline.inference.held_out import held_out_crops
from pipeline.inference.restore import restore_crops
from pipeline.layout import encoder_folder
from pipeline.metrics.evaluate import evaluate
from pipeline.model_folder import load_flow
from pipeline.params import load_params
from pipeline.pictures.eight_bit import to_tensor
from pipeline.stability.audit import audit
from pipeline.training.jobs import Job
from pipeline.training.pretrain import pretrain
from pipeline.training.ray_train import launch
from pipeline.training.train import train

FREE = 1e6
VARIANTS = {
    "shift_alone": {"lipschitz": FREE, "shift": 0.3},
    "slopes_alone": {"lipschitz": 4.0, "shift": FREE},
    "both": {"lipschitz": 4.0, "shift": 0.3},
}
ANALYSES = {
    "bad_pixels": {},
    "reconstruction": {},
    "certified_bound": {},
    "draw_attack": {"steps": 12, "pictures": 1, "side": 32},
}
COLUMNS = (
    *("task", "steps", "seed", "variant", "bits_per_dim", "lpips", "bad_share_stress", "largest_stress"),
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
    parser.add_argument("--variants", default=",".join(VARIANTS), help="%(default)s")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    root, table = _own_project(arguments.project, arguments.out), arguments.out / "ablation.csv"
    rows = read_csv(table) if table.exists() else []
    done = {(row["task"], row["steps"], row["seed"], row["variant"]) for row in rows}
    asked = (arguments.tasks, arguments.steps, arguments.seeds, arguments.variants)
    for cell in itertools.product(*(names.split(",") for names in asked)):
        if cell not in done:
            task, steps, seed, variant = cell
            rows.append(measure(root, task, int(steps), int(seed), variant))
            write_csv(table, COLUMNS, rows)
        _say(next(row for row in rows if tuple(str(row[name]) for name in COLUMNS[:4]) == cell))


def measure(root: Path, task: str, steps: int, seed: int, variant: str) -> dict[str, object]:
    """Train one variant and return its row."""
    params = load_params(root / "params.yaml")
    base = Experiment.of(params, task, params.seeds[0]).vary({"seed": seed})
    if not (encoder_folder(root, task, seed) / "weights.safetensors").exists():
        launch(Job(root, base), pretrain)
    certified = Experiment.of(params, task, params.seeds[0], "certified_spline")
    options = {f"design.options.{name}": value for name, value in VARIANTS[variant].items()}
    chosen = certified.vary({"variant": variant, "seed": seed, "settings.training.steps": steps, **options})
    folder = root.parent / task / f"steps{steps}" / f"seed{seed}" / variant
    launch(Job(root, chosen, folder), train)
    flow, settings = load_flow(folder / "model"), chosen.settings
    crops = held_out_crops(root, chosen)
    restore_crops(flow, crops, folder / "samples", settings.sampling, seed)
    evaluation = evaluate(folder / "samples", task, variant)
    limits = settings.stability.model_copy(update={"analyses": ANALYSES})
    audited = held_out_crops(root, chosen, limit=limits.pictures)
    found = audit(flow, audited, folder / "stability", limits, seed)["analyses"]
    trained = read_json(folder / "training" / "summary.json")
    bad, attacked, certain = found["bad_pixels"], found["draw_attack"], found["certified_bound"]
    values = (
        *(task, steps, seed, variant, trained["validation_bits_per_dim"]),
        evaluation.metrics.get("lpips", evaluation.metrics.get("lpips_draws_mean")),
        *(bad["bad_share_stress"], bad["largest_stress"], bad["bad_share_in_distribution"]),
        *(attacked["largest_free_drawn"], attacked["largest_free_3_sigma"]),
        *(found["reconstruction"]["image_max_abs"], _round_trip_in_bfloat16(flow, audited)),
        *(certain["value"], certain["draw"], trained["skipped_steps"], trained["minutes"]),
    )
    return dict(zip(COLUMNS, values, strict=True))


@torch.no_grad()
def _round_trip_in_bfloat16(flow, crops) -> float:
    """Return the largest error of a picture that went to the latent and back, nets in bfloat16."""
    network, worst = flow.network, 0.0
    for _, sides in crops:
        target, seen = flow.kind.pair([to_tensor(side) for side in sides], network.scale)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            condition = network.share(seen)
            back = network.inverse(network(target, condition)[0], condition)[0]
        worst = max(worst, float((back - target).abs().max()))
    return worst


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
    shown = (f"{name} {float(row[name]):.4g}" for name in COLUMNS[4:] if row[name] not in (None, ""))
    say(f"{row['task']} {row['variant']}, {row['steps']} steps, seed {row['seed']}: {', '.join(shown)}")


if __name__ == "__main__":
    run_main(main)
