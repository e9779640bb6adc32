"""Entry point of the packaged project: ``ranking-pipeline --pipelines=...``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project

from ranking_pipeline.cli import cli


def main(*args: Any, **kwargs: Any) -> Any:
    """Run the project as ``kedro run`` would, or one of the commands of its own.

    ``ranking-pipeline models list`` prints the model families.
    """
    package_name = Path(__file__).parent.name
    configure_project(package_name)
    kwargs["standalone_mode"] = not hasattr(sys, "ps1")
    words = [*(args[0] if args else kwargs.get("args") or sys.argv[1:])]
    if words and words[0] in cli.commands:
        return cli(*args, **kwargs)
    return find_run_command(package_name)(*args, **kwargs)


if __name__ == "__main__":
    main()
