"""What faults do: the bench of damages, mutants and kills."""

import argparse
import tempfile
from pathlib import Path

from kitlib.commands import Commands


def add_faults(benches: Commands) -> None:
    """Add the bench `faults`."""
    command = benches.add_parser("faults", help="damage phantoms in every way known, and judge what is said")
    command.add_argument("--studies", type=int, default=60, help="phantoms (default: 60)")
    command.add_argument("--seed", type=int, default=2024)
    command.add_argument("--mutants", type=int, default=2000, help="spoilt files to read (default: 2000)")
    command.add_argument(
        "--kills", type=int, default=20, metavar="N", help="moments at which `predict` is ended (default: 20)"
    )
    command.add_argument(
        "--run-kills",
        type=int,
        default=0,
        metavar="N",
        help="moments at which `run` is ended (default: none)",
    )
    command.add_argument("--out", type=Path, default=Path("results"), help="folder for faults.md")
    command.set_defaults(call=_faults)


def _faults(arguments: argparse.Namespace) -> None:
    from kitlib.artefacts import write_text
    from kitlib.faults.bench import run_bench
    from kitlib.report.pages.faults import faults_page

    asked = {name: getattr(arguments, name) for name in ("studies", "seed", "mutants", "kills", "run_kills")}
    with tempfile.TemporaryDirectory(prefix="kitlib-faults-") as folder:
        bench = run_bench(Path(folder), **asked)
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in asked.items())
    facts = {"made by": f"`python -m kitlib bench faults {options}`", **bench.facts}
    page = faults_page(facts, bench.damages, bench.mutants, bench.endings)
    write_text(arguments.out / "faults.md", page)
    failed = (bench.damages["failures"] != "").sum()
    print(
        f"{len(bench.damages) - failed} of {len(bench.damages)} cases passed: {arguments.out / 'faults.md'}"
    )
