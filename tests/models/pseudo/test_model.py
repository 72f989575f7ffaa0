import numpy as np
import pandas as pd
import pytest

from kitlib.competition.metric import score_arrays
from kitlib.embed.tokens import Tokens
from kitlib.errors import UsageError
from kitlib.evaluate.missing import reconstruction_scores
from kitlib.experiments.scenarios import ablate
from kitlib.inputs.slices import SliceDataset
from kitlib.models.pseudo.imputers import ModalityImputer
from kitlib.models.pseudo.model import ERROR_COLUMNS, IMPUTERS, PseudoModel, reconstruction_errors
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SEQUENCES
from tests.models.builders import make_features, make_labels

LABELS = make_labels(24)
FEATURES = make_features(LABELS)
JUDGED = make_features(make_labels(6, seed=1), seed=1)
TINY = {"components": 3, "hidden": 4, "imputer_epochs": 2}


def fitted(imputer: str = "mean", **parameters: int) -> PseudoModel:
    return PseudoModel(imputer=imputer, **{**TINY, **parameters}).fit(FEATURES, LABELS, seed=0)


def test_an_unknown_imputer_is_refused() -> None:
    with pytest.raises(UsageError, match="guess"):
        PseudoModel(imputer="guess")


def test_zeros_are_not_the_mean() -> None:
    _, removed = ablate(JUDGED, "without_t1", 0)
    errors = [fitted(name).reconstruction(JUDGED, removed) for name in ("zeros", "mean")]
    assert errors[0]["error"].sum() > 1.01 * errors[1]["error"].sum()
    np.testing.assert_allclose(errors[1]["error"], errors[1]["mean_error"])


def test_imputers_of_training_copies_have_not_seen_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    """A nearest neighbour that is the study itself would teach the classifier to trust guesses."""
    fitted_on: list[set[float]] = []
    fit, impute = ModalityImputer.fit, ModalityImputer.impute

    def remember(
        imputer: ModalityImputer, embeddings: np.ndarray, present: np.ndarray, seed: int
    ) -> ModalityImputer:
        fitted_on.append(set(embeddings[:, 0, 0].tolist()))
        imputer.known = fitted_on[-1]  # type: ignore[attr-defined]
        return fit(imputer, embeddings, present, seed)

    def check(imputer: ModalityImputer, embeddings: np.ndarray, present: np.ndarray) -> np.ndarray:
        assert not imputer.known & set(embeddings[:, 0, 0].tolist())  # type: ignore[attr-defined]
        return impute(imputer, embeddings, present)

    monkeypatch.setattr(ModalityImputer, "fit", remember)
    monkeypatch.setattr(ModalityImputer, "impute", check)
    fitted(inner_parts=3)
    assert sorted(map(len, fitted_on)) == [16, 16, 16, 24]


@pytest.mark.parametrize("imputer", IMPUTERS)
def test_judged_studies_teach_nothing(imputer: str) -> None:
    """One of them has extreme features; the others' predictions and guesses stay the same."""
    model = fitted(imputer)
    loud = {name: list(studies) for name, studies in JUDGED.tokens.items()}
    for studies in loud.values():
        studies[0] = Tokens(studies[0].vectors + 1e3, studies[0].positions_mm)
    planted = SliceDataset(JUDGED.study_ids, loud, JUDGED.metadata)
    plain_holes, removed = ablate(JUDGED, "without_axial", 0)
    planted_holes, _ = ablate(planted, "without_axial", 0)
    np.testing.assert_array_equal(model.predict(planted_holes)[1:], model.predict(plain_holes)[1:])
    columns = ["study_id", "sequence", "error", "mean_error", "cosine"]
    errors = [model.reconstruction(one, removed)[columns] for one in (JUDGED, planted)]
    others = errors[0]["study_id"] != JUDGED.study_ids[0]
    pd.testing.assert_frame_equal(errors[1][others], errors[0][others])


def test_reconstruction_has_a_row_for_each_removed_sequence_that_was_there() -> None:
    features = make_features(np.zeros((5, 25), np.int8), missing={AXIAL_T2: [1, 2]})
    removed = np.zeros((5, 3), bool)
    removed[:, [0, 2]] = True
    errors = fitted().reconstruction(features, removed)
    assert tuple(errors.columns) == ERROR_COLUMNS
    assert errors["sequence"].value_counts().to_dict() == {SAGITTAL_T1: 5, AXIAL_T2: 3}
    nothing = fitted().reconstruction(features, np.zeros((5, 3), bool))
    assert nothing.empty
    assert reconstruction_scores(nothing).empty


def test_a_perfect_guess_has_an_r2_of_one_and_the_mean_of_zero() -> None:
    truth = np.random.default_rng(0).normal(size=(8, 3, 4))
    everything = np.ones((8, 3), bool)
    means = truth.mean(axis=0)
    guesses = truth.copy()
    guesses[:, 1] = means[1]
    scores = reconstruction_scores(
        reconstruction_errors(np.arange(8), truth, guesses, means, everything, everything)
    )
    np.testing.assert_allclose(scores["r2"], [1, 0, 1], atol=1e-12)
    np.testing.assert_allclose(scores["mean_r2"], 0, atol=1e-12)
    np.testing.assert_allclose(scores["cosine"].iloc[[0, 2]], 1)
    assert list(scores["sequence"]) == list(SEQUENCES)


def test_fewer_sequences_score_worse_but_no_worse_than_guessing() -> None:
    """The classifier handles missing data: without any sequence it predicts roughly the prior."""
    labels = make_labels(120, seed=5)
    features = make_features(labels, seed=6)
    train, judged = np.arange(80), np.arange(80, 120)
    model = PseudoModel(imputer="mean", components=8).fit(features.take(train), labels[train], seed=0)
    seen = features.take(judged)
    shown = [seen, *(ablate(seen, scenario, 0)[0] for scenario in ("random_30", "random_80"))]
    totals = [score_arrays(labels[judged], model.predict(one)).total for one in shown]
    prior = score_arrays(labels[judged], np.broadcast_to(model.prior, (40, 25, 3))).total
    assert totals[0] < totals[1] < totals[2] < prior + 0.05
    assert totals[0] < prior - 0.05
