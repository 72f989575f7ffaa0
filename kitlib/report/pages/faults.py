"""The page of faults in Markdown: passed of made by kind, each damage, the mutants, runs that were ended."""

from collections.abc import Mapping

import pandas as pd

from kitlib.report.pages.experiments import document, markdown

TITLE = "What faults do"
LEAD = (
    "Phantoms were damaged in every way below, predicted by what ships, and compared with what is said of "
    "them whole. A case is passed where the prediction ends, the submission is complete and valid, the "
    "rows of untouched studies are the same bytes, nothing that was planted is repeated, and of each "
    "touched study the ledger or a lower rung says a word, or its rows are as before; of a harmless "
    "damage they have to be. Written by the command below, and not edited."
)
NAIVE_LEAD = (
    "Beside it the loader that one would write first, at the smallest dose: glob, order by "
    "InstanceNumber, pass over errors. It says a word of nothing. Unharmed are the same pixels; where they "
    "lie it does not look at."
)
MUTANTS_LEAD = (
    "One slice in each transfer syntax that can be written here, with bytes changed, put in, copied, left "
    "out or cut off at random, and read with the other slices of its series. Pixels or geometry: one of them "
    "is read as something else, and no row of the ledger says so; moved: how far a corner of a slice then "
    "lies from where it was, at most. In what is coded nobody can know: samples carry no checksum. In values "
    "it takes the slices beside it to tell: another digit of a position is a position, and a small step "
    "aside is none that they contradict. In tags and structure there should be none."
)
ENDINGS_LEAD = (
    "Commands that were killed, or could write no file larger than so much, at random moments, or were "
    "killed by the write that found no room, and started again. Whole: what was left behind was no "
    "submission or a complete one. Said: the lack of "
    "room was told in one line. Same: started again, the command ended with the same bytes as one that "
    "nothing befell."
)


def faults_page(
    facts: Mapping[str, str], damages: pd.DataFrame, mutants: pd.DataFrame, endings: pd.DataFrame
) -> str:
    """Markdown of the tables of a bench; `facts` as for `results_page`."""
    parts = ["## Passed of made", markdown(kind_table(damages)), NAIVE_LEAD, markdown(naive_table(damages))]
    parts += ["## Each damage", markdown(damage_table(damages))]
    if len(mutants):
        parts += ["## Mutants", MUTANTS_LEAD, markdown(silent_table(mutants))]
    if len(endings):
        parts += ["## Ended runs", ENDINGS_LEAD, markdown(ending_table(endings))]
    return document(TITLE, LEAD, facts, *parts)


def kind_table(damages: pd.DataFrame) -> pd.DataFrame:
    """A row a kind: damages, cases passed of made, studies told of touched, and the most that one cost."""
    rows = []
    for kind, own in damages.groupby("kind", sort=False):
        touched = own["touched"].sum()
        row = {
            "kind": kind,
            "damages": own["name"].nunique(),
            "cases passed": f"{(own['failures'] == '').sum()} of {len(own)}",
            "studies told or unharmed": f"{touched - own['untold'].sum()} of {touched}",
            "longest study, s": f"{own['seconds'].max():.1f}",
            "memory grown, MB": f"{own['grown_mb'].max():.0f}",
        }
        rows.append(row)
    return pd.DataFrame(rows)


def naive_table(damages: pd.DataFrame) -> pd.DataFrame:
    """A row a kind: what becomes of the naive loader, as counts of damages."""
    known = damages[damages["naive"] != ""]
    return pd.crosstab(known["kind"], known["naive"]).rename_axis(columns=None).reset_index()


def damage_table(damages: pd.DataFrame) -> pd.DataFrame:
    """A row a damage: what it does, and what is wrong at each dose."""
    single = damages[damages["what"] != ""]
    rows = []
    for (kind, name), own in single.groupby(["kind", "name"], sort=False):
        doses = {f"{row.touched} touched": row.failures or "passed" for row in own.itertuples()}
        naive = " ".join(own["naive"]).strip()
        rows.append({"kind": kind, "damage": name, "what": own["what"].iloc[0], **doses, "naive": naive})
    return pd.DataFrame(rows)


def silent_table(mutants: pd.DataFrame) -> pd.DataFrame:
    """The table of mutants with the places of silent ones in words, those of coded samples left out."""
    places = [
        "samples and their tables"
        if part == "coded"
        else ", ".join(f"{tag} ({count})" for tag, count in sorted(where.items()))
        for part, where in zip(mutants["part"], mutants["where"])
    ]
    moved = mutants["moved, mm"].map("{:.2f}".format)
    return mutants.assign(**{"moved, mm": moved}, where=places)


def ending_table(endings: pd.DataFrame) -> pd.DataFrame:
    """A row a command and fault: how many of its moments ended well."""
    rows = []
    for (job, fault), own in endings.groupby(["job", "fault"], sort=False):
        sums = {name: own[f"is_{name}"].sum() for name in ("whole", "said", "same")}
        at = ", ".join(own["at"])
        rows.append({"command": job, "fault": fault, "moments": len(own), **sums, "at": at})
    return pd.DataFrame(rows)
