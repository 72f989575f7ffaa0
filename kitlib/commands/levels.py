"""The levels of a spine: finding them, training what finds them, and auditing tables of them."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kitlib.commands import Commands, add_cluster
from kitlib.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from kitlib.competition.root import Competition
    from kitlib.localise.points import Located
    from kitlib.mri.ledger import Ledger
    from kitlib.mri.stack import Plane


def add_levels(commands: Commands) -> None:
    """Add the command `levels` with its verbs."""
    command = commands.add_parser("levels", help="locate canal, foramina and recesses of each level")
    verbs = command.add_subparsers(required=True, metavar="find|audit|train|evaluate")
    _add_find(verbs)
    _add_audit(verbs)
    _add_train(verbs)
    _add_evaluate(verbs)


def _add_find(verbs: Commands) -> None:
    find = verbs.add_parser(
        "find",
        help="find the levels in a study or series",
        epilog="example: python -m kitlib levels find FOLDER --json --out overlay.png",
    )
    find.add_argument("folder", type=Path, nargs="?", help="DICOM of one study or one series")
    find.add_argument("--npy", type=Path, help="instead, an array (slices, rows, columns) of sagittal slices")
    find.add_argument("--spacing-mm", type=float, help="pixel size of that array")
    find.add_argument("--json", action="store_true", help="print one JSON object")
    find.add_argument("--out", type=Path, help="PNG to write, with the points drawn")
    find.set_defaults(call=_find)


def _find(arguments: argparse.Namespace) -> None:
    from kitlib.localise.folder import read_folder
    from kitlib.localise.localiser import Localiser
    from kitlib.localise.sources import array_study, read_array
    from kitlib.mri.ledger import Ledger

    if (arguments.folder is None) == (arguments.npy is None):
        raise UsageError("no input, or two inputs", hint="Give either a folder or --npy FILE.")
    if arguments.npy and not arguments.spacing_mm:
        raise UsageError("an array has no spacing", hint="Give --spacing-mm, the size of a pixel.")
    ledger = Ledger()
    if arguments.npy:
        study = array_study(read_array(arguments.npy), arguments.spacing_mm)
    else:
        study = read_folder(arguments.folder, ledger)
    located = Localiser.shipped().locate_study(study, ledger)
    if arguments.out:
        from kitlib.report.figures.levels import overlay
        from kitlib.report.style import save_figure

        save_figure(overlay(study, located), arguments.out)
    if arguments.json:
        print(json.dumps(located.to_json()))
    else:
        _print_located(located, ledger)


def _print_located(located: "Located", ledger: "Ledger") -> None:
    for point in located.to_json()["points"]:
        name = " ".join(filter(None, (point["side"], point["landmark"], point["level"])))
        place = f"series {point['series_id']} instance {point['instance_number']}"
        print(f"{name:22} {place:32} x {point['x']:7.1f} y {point['y']:7.1f}  {point['confidence']:.2f}")
    outcome = f"abstained: {located.reason}" if located.abstained else "kept"
    print(f"{len(located.points)} points; {outcome}")
    for fault in ledger:
        print(f"{fault.code}: {fault.action}. {fault.detail}")


def _add_train(verbs: Commands) -> None:
    train = verbs.add_parser(
        "train",
        help="train the localiser, on phantoms or on your landmarks",
        epilog="example: python -m kitlib levels train --out mine.safetensors --data DIR",
    )
    train.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    train.add_argument(
        "--pool", type=Path, default=Path("work/localiser"), help="folder for generated slices"
    )
    train.add_argument("--sagittal", type=int, default=1000, help="phantoms for sagittal slices")
    train.add_argument("--axial", type=int, default=500, help="phantoms for axial slices")
    train.add_argument(
        "--junction", type=int, default=400, help="phantoms for crops of the lumbosacral junction"
    )
    train.add_argument("--epochs", type=int, default=10, help="of the landmark networks (default: 10)")
    train.add_argument(
        "--junction-epochs", type=int, default=30, help="of the junction network (default: 30)"
    )
    train.add_argument("--seed", type=int, default=2024, help="random seed (default: 2024)")
    train.add_argument("--workers", type=int, default=1, help="number of processes (default: 1)")
    train.add_argument("--data", type=Path, help="competition folder to fine-tune on")
    train.add_argument("--weights", type=Path, help="weights to fine-tune (default: the shipped ones)")
    add_cluster(train)
    train.set_defaults(call=_train)


def _train(arguments: argparse.Namespace) -> None:
    from kitlib.competition.root import find_root
    from kitlib.localise.network import SHIPPED
    from kitlib.localise.train.heatmaps import finetune, train_localiser
    from kitlib.localise.train.samples import make_pool
    from kitlib.localise.train.transitional import train_junction
    from kitlib.localise.train.transitional_samples import make_bags

    asked: dict[Plane, int] = {"sagittal": arguments.sagittal, "axial": arguments.axial}
    numbers = (arguments.junction, arguments.epochs, arguments.junction_epochs, arguments.workers)
    if min(*asked.values(), *numbers) < 1 or arguments.seed < 0:
        raise UsageError("persons, epochs and workers must be at least 1, the seed at least 0")
    seed, workers, out = arguments.seed, arguments.workers, arguments.out
    pools = {
        plane: make_pool(arguments.pool, plane, anatomies=count, seed=seed, workers=workers)
        for plane, count in asked.items()
    }
    names = (*asked, "epochs", "seed", "junction", "junction-epochs")
    options = " ".join(f"--{name} {getattr(arguments, name.replace('-', '_'))}" for name in names)
    command = f"python -m kitlib levels train {options} --out {out.name}"
    how: dict[str, Any] = {"epochs": arguments.epochs, "seed": seed, "command": command}
    if arguments.data:
        start, competition = arguments.weights or SHIPPED, find_root(arguments.data)
        points = _mended_points(competition, workers)
        metrics = finetune(start, competition, out, points=points, phantoms=pools, workers=workers, **how)
    else:
        bags = make_bags(arguments.pool, persons=arguments.junction, seed=seed, workers=workers)
        metrics = train_localiser(out, pools, **how)
        print(f"junction: {train_junction(out, bags, epochs=arguments.junction_epochs, seed=seed)}")
    print(json.dumps(metrics, indent=1))
    print(f"weights in {out}")


def _mended_points(competition: "Competition", workers: int) -> "pd.DataFrame":
    """The landmarks of a folder without what an audit would drop, and with what it can mend put right."""
    from kitlib.localise.audit.folder import audit_competition
    from kitlib.localise.audit.landmarks import mend, mend_counts

    landmarks = competition.landmarks()
    found = audit_competition(competition, workers=workers)
    print(f"audit: {mend_counts(landmarks, found.findings)}; {found}")
    return mend(landmarks, found.findings)


def _add_audit(verbs: Commands) -> None:
    audit = verbs.add_parser(
        "audit",
        help="find errors in a landmark table",
        epilog="example: python -m kitlib levels audit --data DIR --out report.json",
    )
    audit.add_argument("--data", type=Path, required=True, help="competition folder")
    audit.add_argument("--out", type=Path, help="JSON report to write")
    audit.add_argument("--workers", type=int, default=1, help="number of processes (default: 1)")
    audit.add_argument(
        "--no-localiser",
        dest="localiser",
        action="store_false",
        help="do not count levels in the images where series disagree (a third of a second per study)",
    )
    add_cluster(audit)
    audit.set_defaults(call=_audit)


def _audit(arguments: argparse.Namespace) -> None:
    from kitlib.artefacts import Provenance
    from kitlib.competition.root import find_root
    from kitlib.localise.audit.folder import audit_competition
    from kitlib.localise.audit.landmarks import save_report, summary

    if arguments.workers < 1:
        raise UsageError("workers must be at least 1")
    competition = find_root(arguments.data)
    found = audit_competition(competition, localiser=arguments.localiser, workers=arguments.workers)
    print(summary(found.findings).to_string() if len(found.findings) else "nothing was found")
    print(found)
    if arguments.out:
        inputs = {"competition": competition.fingerprint()}
        provenance = Provenance({"localiser": arguments.localiser}, inputs)
        facts = {"localiser_asked": found.asked, "localiser_sure": found.counted}
        save_report(arguments.out, found.findings, provenance, **facts)
        print(f"report in {arguments.out}")


def _add_evaluate(verbs: Commands) -> None:
    evaluate = verbs.add_parser(
        "evaluate",
        help="measure the localiser's error on phantoms, and on increasingly degraded images",
        epilog="example: python -m kitlib levels evaluate --studies 20 --curves",
    )
    evaluate.add_argument("--weights", type=Path, help="localiser weights (default: the shipped ones)")
    evaluate.add_argument("--studies", type=int, default=60, help="number of phantoms (default: 60)")
    evaluate.add_argument("--size", default="clinical", help="smoke, demo or clinical (default: clinical)")
    evaluate.add_argument(
        "--seed", type=int, default=90, help="default: 90, which no localiser has been trained on"
    )
    evaluate.add_argument("--curves", action="store_true", help="also degrade their middle T2 slices")
    evaluate.add_argument("--out", type=Path, help="CSV file to write: one row per landmark")
    evaluate.set_defaults(call=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> None:
    import pandas as pd

    from kitlib.artefacts import write_csv
    from kitlib.localise.localiser import Localiser
    from kitlib.localise.network import SHIPPED
    from kitlib.localise.train.evaluate import phantom_curves, phantom_errors, reliability, summary

    if arguments.studies < 1 or arguments.seed < 0:
        raise UsageError("studies must be at least 1, the seed at least 0")
    localiser, drawn = Localiser.load(arguments.weights or SHIPPED), range(1, arguments.studies + 1)
    asked = {"seed": arguments.seed, "size": arguments.size}
    errors = phantom_errors(localiser, drawn, **asked)
    tables = [summary(errors), reliability(errors)]
    if arguments.curves:
        tables.append(phantom_curves(localiser, drawn, **asked))
    with pd.option_context("display.width", None, "display.max_columns", None):
        print("\n\n".join(table.to_string(float_format=lambda value: f"{value:.3f}") for table in tables))
    if arguments.out:
        write_csv(arguments.out, errors, "%.4f")
        print(f"one row per landmark in {arguments.out}")
