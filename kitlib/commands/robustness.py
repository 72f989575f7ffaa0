"""What changed conditions cost the models of a finished run."""

import argparse
from pathlib import Path

from kitlib.commands import Commands


def add_robustness(commands: Commands) -> None:
    """Add the command `robustness`."""
    command = commands.add_parser(
        "robustness",
        help="measure what missing, displaced or degraded input costs a run",
        epilog="example: python -m kitlib robustness --work work/demo --experiments crops --out results",
    )
    command.add_argument("--work", type=Path, required=True, help="folder of a finished run, with its models")
    command.add_argument("--data", default="", help="competition folder (default: the run's phantoms)")
    command.add_argument(
        "--experiments", default="crops", help="experiments of the run, separated by commas (default: crops)"
    )
    command.add_argument("--studies", type=int, metavar="N", help="only the first N studies (default: all)")
    command.add_argument("--out", type=Path, required=True, help="folder for robustness.md and .csv")
    command.set_defaults(call=_robustness)


def _robustness(arguments: argparse.Namespace) -> None:
    from kitlib.artefacts import write_csv, write_text
    from kitlib.report.pages.robustness import robustness_page
    from kitlib.run.robustness import judge_robustness

    names = list(dict.fromkeys(arguments.experiments.replace(",", " ").split()))
    judged = judge_robustness(arguments.work, names, data_dir=arguments.data, studies=arguments.studies)
    facts = {"made by": f"`{_command(arguments, names)}`", **judged.facts}
    write_text(arguments.out / "robustness.md", robustness_page(facts, judged.table))
    write_csv(arguments.out / "robustness.csv", judged.table, "%.6f")
    print(f"{len(judged.table)} rows in {arguments.out / 'robustness.md'}")


def _command(arguments: argparse.Namespace, names: list[str]) -> str:
    """The command with those options on which the table depends, and no folder of this machine."""
    work = "DIR" if arguments.work.is_absolute() else arguments.work
    options = f" --studies {arguments.studies}" if arguments.studies else ""
    return f"python -m kitlib robustness --work {work} --experiments {','.join(names)}{options}"
