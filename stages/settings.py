"""Write the resolved settings that every other stage depends on."""

from __future__ import annotations

from pipeline.console import run_main
from pipeline.layout import project_root
from pipeline.params import load_params
from pipeline.settings import write_settings


def main() -> None:
    """Read params.yaml, write ``artifacts/settings.json``."""
    write_settings(project_root(), load_params())


if __name__ == "__main__":
    run_main(main)
