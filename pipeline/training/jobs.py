"""The two trainings of a task, as functions that run on every worker.

A job is a plain dictionary, so that it can travel to workers on other machines; paths in it are absolute.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pipeline.config import Params, TrainingConfig, load_params
from pipeline.devices import choose_device
from pipeline.errors import DataError
from pipeline.feed.loading import CropLoader
from pipeline.feed.sides import Pairs, open_pairs
from pipeline.inference.held_out import held_out_crops
from pipeline.kinds import KINDS, Kind
from pipeline.layout import encoder_folder, manifest_path, variant_folder
from pipeline.model_folder import ModelConfig, build, load_model, save_model
from pipeline.pictures.eight_bit import to_tensor
from pipeline.seeds import seed_of
from pipeline.tracking.identity import Identity, training_identity
from pipeline.tracking.provenance import provenance
from pipeline.tracking.run import open_run
from pipeline.training.batches import training_batches
from pipeline.training.checkpoints import CheckpointStore
from pipeline.training.loop import Hooks, Outcome, Plan, Row, fit
from pipeline.training.outputs import write_training
from pipeline.training.run_key import run_key
from pipeline.training.stopping import stop_requests

Report = Callable[[Row], None]


@dataclasses.dataclass(frozen=True)
class Job:
    """Which training to run; ``variant`` is None for the encoder's pretraining."""

    root: str
    task: str
    variant: str | None
    seed: int


def run_job(job: dict[str, Any], report: Report, device: torch.device) -> None:
    """Run a Job (as a dictionary) on this worker and its ``device``; ``report`` is called after each validation."""
    chosen = Job(**job)
    root = Path(chosen.root)
    params = load_params(root / "params.yaml")
    if chosen.variant is None:
        _pretrain(root, params, chosen.task, chosen.seed, device)
    else:
        _train(root, params, chosen.task, chosen.variant, chosen.seed, report, device)


def encoder_config(params: Params, task: str) -> ModelConfig:
    """Return what the encoder of ``task`` is built from."""
    return ModelConfig(
        kind=f"{params.task(task).kind}_encoder",
        task=task,
        variant="encoder",
        profile=params.profile,
        scale=params.task(task).scale,
        network=params.settings(task).network.encoder.model_dump(),
        transform={},
    )


def flow_config(params: Params, task: str, variant: str) -> ModelConfig:
    """Return what the flow of ``task`` x ``variant`` is built from."""
    chosen = params.variant(variant)
    return ModelConfig(
        kind=params.task(task).kind,
        task=task,
        variant=variant,
        profile=params.profile,
        scale=params.task(task).scale,
        network=params.settings(task).network.model_dump(),
        transform={"name": chosen.transform, "options": dict(chosen.options)},
        caps=dict(chosen.caps),
        temperature=params.settings(task).sampling.temperature,
    )


def flow_plan(params: Params, task: str, variant: str, seed: int) -> Plan:
    """Return the schedule by which the flow of ``task`` x ``variant`` is trained."""
    training = params.settings(task).training.model_dump(exclude={"batch", "noise_std", "ratio_probability"})
    return _plan(params, f"train {task} {variant} seed {seed}", **training)


def _pretrain(root: Path, params: Params, task: str, seed: int, own: torch.device) -> None:
    settings = params.settings(task)
    config = encoder_config(params, task)
    pretraining = settings.pretraining
    plan = _plan(params, f"pretrain {task} seed {seed}", **pretraining.model_dump(exclude={"batch"}), ema_decay=0.99)
    key = run_key(
        root, {**_described(config, params, task, seed), "plan": pretraining.model_dump()}, _inputs(root, task)
    )
    device = seeded_device(params, "encoder", task, seed, own)
    objective = _kind(params, task).pretraining(build(config))
    store = _store(root, training_identity(task, "encoder", seed, key))
    with stop_requests() as should_stop:
        outcome = fit(
            objective,
            plan,
            _batches(params, root, task, seed, pretraining.batch, None, device),
            store,
            device,
            Hooks(should_stop=should_stop),
        )
    if _is_first():
        folder = encoder_folder(root, task, seed)
        save_model(folder, outcome.network, dataclasses.replace(config, run_key=key, step=plan.steps, seed=seed))
        write_training(folder, outcome, loss_name="l1")
        store.finish()


def _train(root: Path, params: Params, task: str, variant: str, seed: int, report: Report, own: torch.device) -> None:
    settings, training = params.settings(task), params.settings(task).training
    config = flow_config(params, task, variant)
    plan = flow_plan(params, task, variant, seed)
    encoder = encoder_folder(root, task, seed)
    inputs = [*_inputs(root, task), encoder / "weights.safetensors"]
    if not inputs[-1].exists():
        raise DataError(f"{inputs[-1]} is missing; run `steadyflow repro pretrain@{task}-{seed}` first")
    described = {**_described(config, params, task, seed), "plan": training.model_dump(), "sampling": None}
    key = run_key(root, described, inputs)
    device = seeded_device(params, "flow", task, seed, own)
    network = build(config)
    network.encoder.load_state_dict(load_model(encoder, device="cpu", expect={"task": task}).state_dict())
    kind = _kind(params, task)
    objective = kind.objective(network)
    crops = held_out_crops(root, params, task, side=settings.data.crop * 2)
    validate = _validator(kind, [sides for _, sides in crops], params.task(task).scale, device)
    batches = _batches(params, root, task, seed, training.batch, training, device)
    identity = training_identity(task, variant, seed, key)
    store = _store(root, identity)

    def work(log: Callable[[int, Row], None]) -> Outcome:
        with stop_requests() as should_stop:
            return fit(objective, plan, batches, store, device, Hooks(log, validate, report, should_stop))

    if not _is_first():
        work(lambda step, row: None)
        return
    origin = provenance(root, "train", params.profile, task)
    with open_run(root, identity, params.runtime.tracking_uri, origin) as run:
        run.params({**described, "parameters": _count(network)})
        outcome = work(lambda step, row: run.metrics(_named(row), step=step))
        folder = variant_folder(root, task, variant, seed)
        final = dataclasses.replace(config, run_key=key, step=plan.steps, seed=seed)
        save_model(folder / "model", outcome.network, final)
        summary = write_training(
            folder / "training", outcome, loss_name="nll", config=final, parameters=_count(network)
        )
        run.metrics({f"train/{name}": value for name, value in summary.items() if isinstance(value, int | float)})
        run.artifact(folder / "model", "model")
        run.artifact(folder / "training", "training")
    store.finish()


def _plan(params: Params, what: str, **schedule: Any) -> Plan:
    runtime = params.runtime
    return Plan(what=what, log_every=runtime.log_every, checkpoint_seconds=runtime.checkpoint_seconds, **schedule)


def _described(config: ModelConfig, params: Params, task: str, seed: int) -> dict[str, Any]:
    described = dataclasses.asdict(config)
    del described["temperature"]  # of drawing, not of training
    return {**described, "data": params.settings(task).data.model_dump(), "seed": seed}


def _inputs(root: Path, task: str) -> list[Path]:
    manifest = manifest_path(root, task)
    if not manifest.exists():
        raise DataError(f"{manifest} is missing; run `steadyflow repro prepare@{task}` first")
    return [manifest]


def _store(root: Path, identity: Identity) -> CheckpointStore:
    store = CheckpointStore(identity.folder(root))
    if store.done and _is_first():
        store.restart()
    return store


def seeded_device(params: Params, what: str, task: str, seed: int, own: torch.device | None = None) -> torch.device:
    """Seed the initialization of weights (the same on every rank and for every variant); return the device."""
    torch.manual_seed(seed_of(what, task, seed))
    return choose_device(params.runtime, own)


def _batches(
    params: Params,
    root: Path,
    task: str,
    seed: int,
    batch: int,
    training: TrainingConfig | None,
    device: torch.device,
) -> Callable[[int, int], Any]:
    pairs = open_pairs(manifest_path(root, task), "train", params.task(task).scale, _kind(params, task).equalized)
    return batches_of(pairs, params, task, seed, batch, training, device)


def batches_of(
    pairs: Pairs,
    params: Params,
    task: str,
    seed: int,
    batch: int,
    training: TrainingConfig | None,
    device: torch.device,
) -> Callable[[int, int], Iterator[tuple[Tensor | None, ...]]]:
    """Return a function from (start, stop) to this worker's share of the batches of these steps, of ``pairs``."""
    data, kind, scale = params.settings(task).data, _kind(params, task), params.task(task).scale
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    loader = CropLoader(pairs, data.crop, batch, seed, data.flips, data.rotations, rank, world)
    return lambda start, stop: training_batches(loader, start, stop, kind, scale, training, seed, device)


def _kind(params: Params, task: str) -> Kind:
    return KINDS[params.task(task).kind]


def _validator(kind: Kind, crops: list[Any], scale: int, device: torch.device) -> Callable[[nn.Module], Row]:
    """Return a function from a network to its mean nll on held-out crops, without noise."""
    pairs = [kind.pair([to_tensor(side).to(device) for side in sides], scale) for sides in crops]

    @torch.no_grad()
    def validate(network: nn.Module) -> Row:
        objective = kind.objective(network)
        values = [float(objective(*pair)) for pair in pairs]
        nll = sum(values) / len(values)
        return {"validation_nll": nll, "validation_bits_per_dim": nll / 3.0}

    return validate


def _named(row: Row) -> Row:
    names = {
        "loss": "train/nll",
        "validation_nll": "validation/nll",
        "validation_bits_per_dim": "validation/bits_per_dim",
    }
    return {names.get(name, f"train/{name}"): value for name, value in row.items() if name != "step"}


def _count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _is_first() -> bool:
    return not dist.is_initialized() or dist.get_rank() == 0
