"""Does a profile run on this machine? A trial of each of its models, beside the sizes of the published ones.

Each model has a process of its own, so that the peak of memory is its own, and a model that does not fit ends its
row of the table and not the check.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from pipeline.config import Params
from pipeline.console import console, progress, quiet_libraries, say
from pipeline.errors import SteadyflowError
from pipeline.experiment import Experiment
from pipeline.feasibility.one_model import Trial, try_model
from pipeline.model_folder import ModelConfig, build
from pipeline.shapes_alone import shapes_alone
from pipeline.training.model_configs import flow_config

# Values in the published networks by kind, scale and transform (docs/published-checkpoints.md): FS-NCSR and robustNF,
# LLFlow. Paper A's LLFlow with splines was never released.
PUBLISHED = {
    ("super_resolution", 4, "affine"): 41_662_643,
    ("super_resolution", 4, "rational_quadratic_spline"): 46_545_587,
    ("super_resolution", 8, "affine"): 64_520_163,
    ("super_resolution", 8, "rational_quadratic_spline"): 77_282_403,
    ("low_light", 1, "affine"): 38_859_481,
}
_PUBLISHED_PROFILE = "paper"  # the one whose networks are of the published sizes
_MEANING = """\
trained       parameters that training changes: those of the network without anything that is never read
as published  the same network with all that the published one stores as well: tensors that it never reads, the
              encoder's own head, fixed 1x1 matrices
published     how many values the published network has; – where none of its kind was released
step, draw    seconds of the second of two optimizer steps, and of one draw
peak          the most memory that the process held: of the GPU if it computes there, else in all"""


@dataclasses.dataclass(frozen=True)
class Need:
    """One line of the table. None: the model's process did not live to tell, or no such network was published."""

    task: str
    variant: str
    trial: Trial | None
    as_published: int | None  # values of this network with all that the published one stores
    published: int | None
    faults: tuple[str, ...]  # none: all is well


def check_models(params: Params, tasks: Iterable[str], variants: Sequence[str], batch: int) -> list[Need]:
    """Return a row for each of ``tasks`` x ``variants`` in the profile of ``params``, showing progress.

    Raises ConfigError for a task, a variant or a profile that does not exist.
    """
    seed = params.seeds[0]
    chosen = [(task, variant, Experiment.of(params, task, seed, variant)) for task in tasks for variant in variants]
    rows = []
    for task, variant, experiment in progress(chosen, f"check of profile {params.profile}"):
        ours, published = published_sizes(flow_config(experiment)) or (None, None)
        found = run_alone(try_model, experiment, batch)
        trial = None if isinstance(found, str) else found
        faults = trial.faults if trial else (found,)
        if ours != published:
            faults += (f"it has {ours:,} values as published, but the published network has {published:,}",)
        rows.append(Need(task, variant, trial, ours, published, faults))
    return rows


def published_sizes(config: ModelConfig) -> tuple[int, int] | None:
    """Return how many values our network has, with all that the published one stores, and the published number.

    None where no such network was published, or where the profile is not of the published sizes.
    """
    published = PUBLISHED.get((config.kind, config.scale, config.transform["name"]))
    if published is None or config.profile != _PUBLISHED_PROFILE:
        return None
    with shapes_alone():
        network = build(dataclasses.replace(config, network={**config.network, "published": True}))
    # values, not parameters: fixed 1x1 convolutions are buffers here
    return sum(value.numel() for value in network.state_dict().values() if value.is_floating_point()), published


def print_rows(rows: Sequence[Need], profile: str, batch: int) -> None:
    """Print the table, what its columns mean, and every fault."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = f"profile {profile}, batch {batch}"
    table = Table(title=title, title_style="bold", title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
    for column in ("task", "variant"):
        table.add_column(column, no_wrap=True)
    for column in ("trained\nM", "as\npublished\nM", "published\nM", "step\ns", "draw\ns", "peak\nGiB", ""):
        table.add_column(column, justify="right")
    for row in rows:
        trial = row.trial
        needs = (trial.step_seconds, trial.draw_seconds, trial.peak_bytes / 2**30) if trial else (None, None, None)
        sizes = (trial.parameters if trial else None, row.as_published, row.published)
        numbers = [*(value and value / 1e6 for value in sizes), *needs]
        shown = ["–" if value is None else f"{value:.2f}" for value in numbers]
        table.add_row(row.task, row.variant, *shown, "FAULT" if row.faults else "ok")
    console.print(table)
    say(f"\n{_MEANING}")
    for row in rows:
        for fault in row.faults:
            say(f"fault: {row.task} {row.variant}: {fault}")


def run_alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what ``work`` returns in a process of its own, or, as text, why it returns nothing."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_result, args=(sender, work, *arguments), daemon=True)
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:  # it ended without a word
        process.join()
        code = process.exitcode or 0
        if code == -signal.SIGKILL:
            return "its process was killed (SIGKILL): out of memory? try a smaller --batch, or a machine that has more"
        return f"its process ended with {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"
    finally:
        process.kill()
        process.join()


def _send_result(sender: Connection, work: Callable[..., Any], *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    quiet_libraries()
    try:
        sender.send(work(*arguments))
    except SteadyflowError as error:
        sender.send(str(error))
    except Exception as error:  # a fault of ours, or memory that could not be had; the other models go on
        traceback.print_exc()
        sender.send(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
