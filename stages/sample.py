"""Draw restorations of the held-out pictures of a task x variant."""

from __future__ import annotations

from pipeline.config import load_params
from pipeline.console import run_main, say
from pipeline.devices import choose_device
from pipeline.inference.held_out import held_out_crops
from pipeline.inference.restore import restore_crops
from pipeline.layout import project_root, variant_folder
from pipeline.model_folder import load_model
from pipeline.tracking.identity import training_identity
from pipeline.tracking.provenance import provenance
from pipeline.tracking.run import open_run
from stages.arguments import parse


def main() -> None:
    """Read params, sample, write ``artifacts/<task>/seed<s>/<variant>/samples``."""
    arguments = parse(__doc__ or "")
    root, params = project_root(), load_params()
    task, variant, seed = arguments.task, arguments.variant, params.seed(arguments.seed)
    settings = params.settings(task)
    device = choose_device(params.runtime)
    folder = variant_folder(root, task, variant, seed)
    network = load_model(folder / "model", device, expect={"task": task, "variant": variant})
    crops = held_out_crops(root, params, task)
    sampling = settings.sampling
    restore_crops(
        network,
        crops,
        folder / "samples",
        sampling.draws,
        sampling.temperature,
        sampling.quantization,
        seed,
        device,
    )
    identity = training_identity(task, variant, seed, network.config.run_key)
    origin = provenance(root, "sample", params.profile, task)
    with open_run(root, identity, params.runtime.tracking_uri, origin) as run:
        run.params({f"sampling.{name}": value for name, value in sampling.model_dump().items()})
    say(
        f"{task} {variant} seed {seed}: {len(crops)} pictures x {sampling.draws} draws in "
        f"{(folder / 'samples').relative_to(root)}"
    )


if __name__ == "__main__":
    run_main(main)
