"""The metric: golden values, a slow reference implementation, and every pitfall of the public one."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from kitlib.competition.metric import Score, loss_by_level, score, score_arrays
from kitlib.competition.submission import to_array, to_rows
from kitlib.competition.tables import read_predictions, read_train_labels
from kitlib.errors import SubmissionError, UsageError
from kitlib.terms import CELL_NAMES, CELLS, EMPTY, GROUPS, LEVELS, PROBABILITIES, row_id
from tests.competition.builders import make_labels, make_predictions


def slow_score(labels: pd.DataFrame, predictions: pd.DataFrame) -> Score:
    """The definition, cell by cell in plain Python; rows must sum to 1."""

    def mean_loss(pairs):
        return sum(w * -math.log(min(max(p, 2.0**-52), 1 - 2.0**-52)) for w, p in pairs) / sum(
            w for w, _ in pairs
        )

    pairs = {group: [] for group in GROUPS}
    any_severe = []
    for study_id, codes in labels.iterrows():
        spinal = []
        for cell in CELLS:
            code = int(codes[cell.name])
            if code == EMPTY:
                continue
            row = predictions.loc[row_id(study_id, cell)]
            pairs[cell.group].append((2**code, row[PROBABILITIES[code]]))
            if cell.group == "spinal":
                spinal.append((code, row["severe"]))
        if spinal:
            worst = max(code for code, _ in spinal)
            severe = max(p for _, p in spinal)
            any_severe.append((2**worst, severe if worst == 2 else 1 - severe))
    losses = [mean_loss(pairs[group]) for group in GROUPS] + [mean_loss(any_severe)]
    return Score(sum(losses) / 4, *losses)


def assert_same(one: Score, other: Score, **tolerance) -> None:
    np.testing.assert_allclose(list(vars(one).values()), list(vars(other).values()), **tolerance)


@pytest.mark.parametrize("seed", range(3))
def test_the_score_is_its_definition(seed):
    labels = make_labels(30, seed=seed, empty=0.2)
    predictions = make_predictions(labels.index, seed=seed)
    assert_same(score(labels, predictions), slow_score(labels, predictions), rtol=1e-9)


def test_each_group_is_scikit_learns_weighted_log_loss():
    labels = make_labels(20, empty=0)
    predictions = make_predictions(labels.index)
    codes, probabilities = labels.to_numpy()[:, 5:15].ravel(), to_array(labels.index, predictions)[:, 5:15]
    expected = log_loss(codes, probabilities.reshape(-1, 3), sample_weight=2.0**codes, labels=[0, 1, 2])
    assert score(labels, predictions).foraminal == pytest.approx(expected, rel=1e-9)


def test_certain_predictions_are_clipped_as_scikit_learn_does():
    labels = make_labels(10, empty=0)
    right = to_rows(labels.index, np.eye(3)[labels.to_numpy()])
    wrong = to_rows(labels.index, np.eye(3)[(labels.to_numpy() + 1) % 3])
    assert score(labels, right).total == pytest.approx(0, abs=1e-12)
    expected = log_loss([0, 1], [[0, 1], [1, 0]])
    assert score(labels, wrong).spinal == pytest.approx(expected) == pytest.approx(36.04, abs=0.01)


def test_rows_are_joined_by_row_id_and_normalised():
    labels = make_labels()
    predictions = make_predictions(labels.index)
    expected = score(labels, predictions)
    assert score(labels, predictions.sample(frac=1, random_state=0)) == expected
    assert score(labels.iloc[::-1, ::-1], predictions).total == pytest.approx(expected.total)
    scale = np.random.default_rng(0).uniform(0.1, 9, size=(len(predictions), 1))
    assert_same(score(labels, predictions * scale), expected, rtol=1e-9)
    columns = [*reversed(PROBABILITIES)]
    assert score(labels, predictions[columns].assign(model="a", fold=0)) == expected
    more = pd.concat([predictions, make_predictions([10**7])])
    assert score(labels, more) == expected


def test_inputs_are_unchanged():
    labels = make_labels()
    predictions = make_predictions(labels.index) * 2
    before = labels.copy(), predictions.copy()
    score(labels, predictions)
    loss_by_level(labels, predictions)
    pd.testing.assert_frame_equal(labels, before[0])
    pd.testing.assert_frame_equal(predictions, before[1])


def test_cells_without_a_label_do_not_count():
    labels = make_labels(20, empty=0.3)
    predictions = make_predictions(labels.index)
    expected = score(labels, predictions)
    unlabelled = labels.to_numpy().ravel() == EMPTY
    assert score(labels, predictions[~unlabelled]) == expected
    changed = predictions.copy()
    changed[unlabelled] = [np.nan, -1, 0]
    assert score(labels, changed) == expected
    nothing = make_labels(1, seed=9, empty=1)
    both = pd.concat([labels, nothing])
    assert_same(score(both, pd.concat([predictions, make_predictions(nothing.index)])), expected)


@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_fold_of_one_class_is_scored(code):
    labels = make_labels(5, empty=0)
    labels[:] = code
    predictions = make_predictions(labels.index)
    assert_same(score(labels, predictions), slow_score(labels, predictions), rtol=1e-9)


def test_a_group_without_labels_makes_the_total_unknown_and_leaves_the_others():
    labels = make_labels(10)
    predictions = make_predictions(labels.index)
    whole = score(labels, predictions)
    labels[[cell.name for cell in CELLS if cell.group == "spinal"]] = EMPTY
    partial = score(labels, predictions)
    assert math.isnan(partial.spinal)
    assert math.isnan(partial.any_severe_spinal)
    assert math.isnan(partial.total)
    assert partial.foraminal == pytest.approx(whole.foraminal)
    assert partial.subarticular == pytest.approx(whole.subarticular)


def test_no_labels_and_no_studies_are_nan():
    labels = make_labels(3)
    predictions = make_predictions(labels.index)
    for empty in (labels.clip(upper=EMPTY), labels.iloc[:0]):
        assert all(math.isnan(value) for value in vars(score(empty, predictions)).values())
        assert loss_by_level(empty, predictions).isna().all(axis=None)


def test_a_labelled_cell_needs_a_prediction():
    labels = make_labels(4, empty=0)
    predictions = make_predictions(labels.index)
    with pytest.raises(
        SubmissionError, match=f"1 labelled cells have no prediction .*{predictions.index[30]}"
    ):
        score(labels, predictions.drop(predictions.index[30]))
    with pytest.raises(SubmissionError, match="25 rows stand twice"):
        score(labels, pd.concat([predictions, predictions[:25]]))
    with pytest.raises(SubmissionError, match="no column severe"):
        score(labels, predictions.drop(columns="severe"))


@pytest.mark.parametrize("row", [(np.nan, 0.5, 0.5), (np.inf, 0, 0), (-0.1, 0.6, 0.5), (0, 0, 0)])
def test_a_labelled_cell_needs_probabilities(row):
    labels = make_labels(4, empty=0)
    predictions = make_predictions(labels.index)
    predictions.iloc[7] = row
    with pytest.raises(SubmissionError, match="negative, not finite or all zero"):
        score(labels, predictions)


def test_arrays_must_have_their_shapes_and_codes():
    probabilities = np.full((2, 25, 3), 1 / 3)
    with pytest.raises(UsageError, match=r"\(n, 25, 3\)"):
        score_arrays(np.zeros((2, 24), np.int8), probabilities)
    with pytest.raises(UsageError, match=r"\(n, 25, 3\)"):
        score_arrays(np.zeros((3, 25), np.int8), probabilities)
    for code in (3, -2):
        with pytest.raises(UsageError, match="severity codes"):
            score_arrays(np.full((2, 25), code), probabilities)


def test_half_precision_is_scored_in_double():
    labels = make_labels(5)
    probabilities = to_array(labels.index, make_predictions(labels.index)).astype(np.float16)
    expected = score_arrays(labels.to_numpy(), probabilities.astype(np.float64))
    assert score_arrays(labels.to_numpy(), probabilities) == expected


def test_loss_by_level_averages_to_the_group():
    labels = make_labels(40)
    predictions = make_predictions(labels.index)
    losses = loss_by_level(labels, predictions)
    assert losses.index.tolist() == list(GROUPS)
    assert losses.columns.tolist() == list(LEVELS)
    weights = np.where(labels == EMPTY, 0, 2.0**labels)
    for group in GROUPS:
        of_level = [
            sum(
                weights[:, i].sum()
                for i, cell in enumerate(CELLS)
                if cell[1] == level and cell.group == group
            )
            for level in LEVELS
        ]
        mean = np.average(losses.loc[group], weights=of_level)
        assert mean == pytest.approx(getattr(score(labels, predictions), group))


@pytest.fixture(scope="module")
def real_labels(real_dir):
    return read_train_labels(real_dir / "tables" / "train.csv")


def frequencies(labels: pd.DataFrame, weights: tuple, column2pool: dict) -> np.ndarray:
    """(n, 25, 3): the weighted frequency of each severity in a column's pool."""
    counts = pd.DataFrame(
        {name: [(labels[name] == code).sum() * weights[code] for code in range(3)] for name in CELL_NAMES}
    ).T
    pooled = counts.groupby(column2pool).sum().loc[[column2pool[name] for name in CELL_NAMES]].to_numpy()
    return np.tile(pooled / pooled.sum(axis=1, keepdims=True), (len(labels), 1, 1))


@pytest.mark.parametrize(
    ("golden", "weights", "pool"),
    [
        (1.0893, (1, 1, 1), lambda _: "all"),
        (0.9202, (1, 2, 4), lambda _: "all"),
        (0.9108, (1, 2, 4), lambda cell: cell.group),
        (0.7900, (1, 2, 4), lambda cell: f"{cell.group} {cell.level}"),
    ],
)
def test_golden_frequencies(real_labels, golden, weights, pool):
    probabilities = frequencies(real_labels, weights, {cell.name: pool(cell) for cell in CELLS})
    assert round(score(real_labels, to_rows(real_labels.index, probabilities)).total, 4) == golden


def test_golden_values_to_five_decimals(real_labels):
    by_column = frequencies(real_labels, (1, 2, 4), {name: name for name in CELL_NAMES})
    assert round(score_arrays(real_labels.to_numpy(), by_column).total, 5) == 0.78971
    uniform = np.full((len(real_labels), 25, 3), 1 / 3)
    assert round(score_arrays(real_labels.to_numpy(), uniform).total, 4) == 0.9994
    rows = to_rows(real_labels.index, uniform)
    labelled = sorted(rows.index[real_labels.to_numpy().ravel() != EMPTY])
    random = np.random.default_rng(2024).dirichlet([4, 1, 0.5], len(labelled))
    drawn = pd.DataFrame(random, index=labelled, columns=list(PROBABILITIES))
    assert round(score(real_labels, drawn).total, 5) == 1.22848


def test_golden_real_out_of_fold_predictions(real_dir, real_labels):
    files = ("axial", "sagittal1", "sagittal2")
    found = pd.concat([read_predictions(real_dir / "oof" / f"{name}_baseline.csv.gz") for name in files])
    due = to_rows(real_labels.index, np.full((len(real_labels), 25, 3), (0.7, 0.2, 0.1)))
    with pytest.raises(SubmissionError, match="46 labelled cells have no prediction"):
        score(real_labels, found)
    filled = pd.concat([found, due.drop(found.index, errors="ignore")])
    assert round(score(real_labels, filled).total, 5) == 0.40245
