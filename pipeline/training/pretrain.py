"""The first training of a task: its encoder, by an L1 loss; all variants start from it."""

from __future__ import annotations

import dataclasses

import torch

from pipeline.experiment import Experiment
from pipeline.feed.of_task import pairs_of
from pipeline.kinds import KINDS
from pipeline.model_folder import build, save_model
from pipeline.training import ranks
from pipeline.training.batches import batches_of
from pipeline.training.jobs import Job, Report, seeded_device
from pipeline.training.loop import Hooks, Plan, fit
from pipeline.training.model_configs import encoder_config
from pipeline.training.outputs import write_curve
from pipeline.training.stopping import stop_requests


def encoder_plan(experiment: Experiment) -> Plan:
    """Return the schedule of the pretraining."""
    schedule = experiment.settings.pretraining.model_dump(exclude={"batch", "restoration"})
    return Plan(what=f"pretrain {experiment.task} seed {experiment.seed}", **schedule).at_run_time(experiment.runtime)


def pretrain(job: Job, report: Report, own: torch.device) -> None:
    """Train the encoder of the job's experiment on this worker; the first worker writes the model folder."""
    chosen = job.experiment
    config, plan, key = encoder_config(chosen), encoder_plan(chosen), job.key()
    device = seeded_device(chosen, "encoder", own)
    objective = KINDS[chosen.problem.kind].pretraining(build(config), chosen.settings.pretraining.restoration)
    batch = chosen.settings.pretraining.batch
    batches = batches_of(pairs_of(job.root, chosen, "train"), chosen, device, batch, pretraining=True)
    store = job.store(key)
    with stop_requests() as should_stop:
        outcome = fit(objective, plan, batches, store, device, Hooks(report=report, should_stop=should_stop))
    if ranks.is_first():
        save_model(job.folder, outcome.network, dataclasses.replace(config, run_key=key, step=plan.steps))
        write_curve(job.folder, outcome, loss_name="l1")
