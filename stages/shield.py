"""Put a shield around the trained flow of a task x variant, without training."""

from __future__ import annotations

from pipeline.console import run_main, say
from pipeline.shielding.calibration import summary_line
from pipeline.shielding.variant import shield_variant
from stages.arguments import chosen


def main() -> None:
    """Calibrate, write ``artifacts/<task>/seed<s>/<variant>/model``."""
    root, experiment = chosen(__doc__ or "")
    flow = shield_variant(root, experiment)
    say(f"{experiment.name}: {summary_line(flow)}")


if __name__ == "__main__":
    run_main(main)
