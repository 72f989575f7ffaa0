from pathlib import Path

import numpy as np
import pytest
import torch

from kitlib.artefacts import Provenance
from kitlib.errors import ModelError
from kitlib.evaluate.missing import reconstruction_scores
from kitlib.models.pseudo.imputers import ModalityImputer
from kitlib.models.pseudo.model import IMPUTERS, build_imputer, reconstruction_errors
from kitlib.models.pseudo.networks import NETWORKS

WIDTH = 10
PLAIN_GUESSES = ("zeros", "mean")
LEARN_LINKS = [name for name in IMPUTERS if name not in PLAIN_GUESSES]


def make_embeddings(studies: int = 40, *, linked: bool = True, seed: int = 0) -> np.ndarray:
    """Embeddings (n, 3, width); if `linked`, the third sequence is a linear function of the first two."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(3, 3, WIDTH))
    hidden = random.normal(size=(3, studies, 3))
    if linked:
        hidden[2] = hidden[0] - hidden[1]
    embeddings = np.stack([one @ mix for one, mix in zip(hidden, mixing)], axis=1)
    return 2 + embeddings + 0.1 * random.normal(size=embeddings.shape)


def make_present(studies: int = 40, *, missing_share: float = 0.15) -> np.ndarray:
    """Some missing sequences, including a study with none."""
    present = np.random.default_rng(5).random((studies, 3)) >= missing_share
    present[0] = False
    return present


def tiny(name: str, *, components: int = 4, hidden: int = 8, epochs: int = 3) -> ModalityImputer:
    return build_imputer(name, components=components, hidden=hidden, epochs=epochs)


EMBEDDINGS, PRESENT = make_embeddings(), make_present()
JUDGED = make_embeddings(6, seed=1)
SOME = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0], [1, 1, 1]], bool)


@pytest.fixture(scope="module", params=IMPUTERS)
def imputer(request: pytest.FixtureRequest) -> ModalityImputer:
    return tiny(request.param).fit(EMBEDDINGS, PRESENT, 0)


def test_what_is_real_is_left_untouched(imputer: ModalityImputer) -> None:
    embeddings, present = JUDGED.copy(), SOME.copy()
    imputed = imputer.impute(embeddings, present)
    np.testing.assert_array_equal(imputed[SOME], JUDGED[SOME])
    assert np.isfinite(imputed).all()
    np.testing.assert_array_equal(embeddings, JUDGED)
    np.testing.assert_array_equal(present, SOME)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_stays_at_the_mean_says_so(name: str) -> None:
    assert "as it began" in tiny(name, epochs=0).fit(EMBEDDINGS, PRESENT, 0).note
    alone = np.zeros_like(PRESENT)
    alone[:, 0] = True  # nobody has a sequence to spare
    assert "as it began" in tiny(name).fit(EMBEDDINGS, alone, 0).note
    assert tiny(name, hidden=32, epochs=200).fit(make_embeddings(80), make_present(80), 0).note == ""


@pytest.mark.parametrize("name", NETWORKS)
def test_fitting_and_loading_leave_the_global_generator_alone(name: str, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    tiny(name).fit(EMBEDDINGS, PRESENT, 0).save(tmp_path, Provenance())
    tiny(name).load(tmp_path)
    torch.testing.assert_close(torch.rand(3), expected)


def test_what_stands_in_a_hole_is_never_read(imputer: ModalityImputer) -> None:
    shouting = np.where(SOME[..., None], JUDGED, 1e6)
    np.testing.assert_array_equal(imputer.impute(shouting, SOME), imputer.impute(JUDGED, SOME))


def test_a_study_is_imputed_alike_alone_and_among_others(imputer: ModalityImputer) -> None:
    together = imputer.impute(JUDGED, SOME)
    alone = np.concatenate([imputer.impute(JUDGED[[row]], SOME[[row]]) for row in range(6)])
    np.testing.assert_allclose(alone, together, atol=1e-9)
    assert imputer.impute(JUDGED[:0], SOME[:0]).shape == (0, 3, WIDTH)


@pytest.mark.parametrize("name", ["mean", "knn", "iterative"])
def test_a_study_with_nothing_is_imputed_with_the_mean(name: str) -> None:
    imputed = tiny(name).fit(EMBEDDINGS, PRESENT, 0).impute(JUDGED[4:5], SOME[4:5])[0]
    mean = [EMBEDDINGS[PRESENT[:, sequence], sequence].mean(axis=0) for sequence in range(3)]
    np.testing.assert_allclose(imputed, mean, atol=1e-9)


def test_the_same_seed_imputes_the_same(imputer: ModalityImputer) -> None:
    again = tiny_like(imputer).fit(EMBEDDINGS, PRESENT, 0)
    np.testing.assert_array_equal(again.impute(JUDGED, SOME), imputer.impute(JUDGED, SOME))


def test_save_and_load_agree(imputer: ModalityImputer, tmp_path: Path) -> None:
    imputer.save(tmp_path, Provenance())
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".npy", ".safetensors"}
    loaded = tiny_like(imputer).load(tmp_path)
    np.testing.assert_array_equal(loaded.impute(JUDGED, SOME), imputer.impute(JUDGED, SOME))


def tiny_like(imputer: ModalityImputer) -> ModalityImputer:
    names = [name for name in IMPUTERS if _same_kind(tiny(name), imputer)]
    assert len(names) == 1
    return tiny(names[0])


def _same_kind(first: ModalityImputer, second: ModalityImputer) -> bool:
    return type(first) is type(second) and getattr(first, "kind", None) is getattr(second, "kind", None)


@pytest.mark.parametrize("name", IMPUTERS)
@pytest.mark.parametrize("studies", [1, 2, 40])
def test_a_sequence_that_never_occurs_and_few_studies_are_survived(name: str, studies: int) -> None:
    present = make_present(studies, missing_share=0.0)
    present[:, 2] = False
    imputed = tiny(name).fit(EMBEDDINGS[:studies], present, 0).impute(JUDGED, SOME)
    assert np.isfinite(imputed).all()
    np.testing.assert_array_equal(imputed[SOME], JUDGED[SOME])
    nothing = np.zeros_like(present)
    assert np.isfinite(tiny(name).fit(EMBEDDINGS[:studies], nothing, 0).impute(JUDGED, SOME)).all()


def test_another_width_is_refused(imputer: ModalityImputer) -> None:
    with pytest.raises(ModelError, match="shape"):
        imputer.impute(JUDGED[..., :4], SOME)


def r2_of(name: str, *, linked: bool) -> float:
    """R2 of the third sequence on held-out studies; that of the mean is about zero."""
    studies = 120
    embeddings, everything = make_embeddings(studies, linked=linked), np.ones((studies, 3), bool)
    train, judged = np.arange(studies) < 80, np.arange(studies) >= 80
    imputer = tiny(name, hidden=32, epochs=40).fit(embeddings[train], everything[train], 0)
    removed = np.zeros((judged.sum(), 3), bool)
    removed[:, 2] = True
    imputed = imputer.impute(embeddings[judged], ~removed)
    errors = reconstruction_errors(
        np.flatnonzero(judged),
        embeddings[judged],
        imputed,
        imputer.reduction.means,
        ~removed | removed,
        removed,
    )
    scores = reconstruction_scores(errors).iloc[0]
    assert -0.2 < scores["mean_r2"] <= 0
    return scores["r2"]


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARN_LINKS)
def test_a_planted_link_is_found(name: str) -> None:
    assert r2_of(name, linked=True) > 0.3


@pytest.mark.parametrize("name", IMPUTERS)
def test_nothing_is_found_in_independent_noise(name: str) -> None:
    assert r2_of(name, linked=False) < 0.05
