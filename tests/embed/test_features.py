import numpy as np
import pandas as pd
import pytest

from kitlib.embed.backbone import load_backbone
from kitlib.embed.features import Features, Tokens, study_tokens
from kitlib.embed.pooling import average_pool, pooled_features
from kitlib.errors import UsageError
from kitlib.prepare.volumes import prepare
from kitlib.terms import SEQUENCES
from tests.prepare.builders import make_stack

WIDTH = 4


def make_tokens(count: int, seed: int = 0) -> Tokens:
    random = np.random.default_rng(seed)
    return Tokens(random.normal(size=(count, WIDTH)).astype(np.float32), random.normal(size=(count, 3)))


def make_features(studies: int = 3) -> Features:
    study_ids = 10 + np.arange(studies)
    tokens = {name: [make_tokens(study) for study in range(studies)] for name in SEQUENCES}
    return Features(study_ids, tokens, pd.DataFrame({"x": study_ids}, index=pd.Index(study_ids)))


@pytest.mark.parametrize("index", [[2, 0], np.array([True, False, True]), slice(1, None), []])
def test_take_takes_the_same_studies_everywhere(index: object) -> None:
    features = make_features()
    taken = features.take(index)
    assert taken.metadata["x"].tolist() == taken.study_ids.tolist()
    for name in SEQUENCES:
        assert [len(tokens) for tokens in taken.tokens[name]] == (taken.study_ids - 10).tolist()
    assert len(features) == 3


def test_joined_tokens_keep_their_places() -> None:
    parts = [make_tokens(2), Tokens.none(WIDTH), make_tokens(3, seed=1)]
    joined = Tokens.joined(parts, WIDTH)
    assert len(joined) == 5
    assert np.array_equal(joined.places_mm[2:], parts[2].places_mm)
    assert Tokens.joined([], WIDTH).vectors.shape == (0, WIDTH)


def test_average_of_no_slices_is_zero() -> None:
    pooled = average_pool([make_tokens(3), Tokens.none(WIDTH)])
    assert pooled[0] == pytest.approx(make_tokens(3).vectors.mean(axis=0))
    assert not pooled[1].any()
    assert pooled_features(make_features()).shape == (3, 3 * WIDTH)


def test_study_tokens_lie_at_the_slices_centres() -> None:
    backbone = load_backbone("test_resnet", weights="random", input_px=32)
    stacks = prepare([make_stack(), make_stack("axial", (2, 24, 24))], 32)
    tokens = study_tokens(backbone, stacks)
    assert np.array_equal(tokens.places_mm, np.concatenate([stack.centres_mm for stack in stacks]))
    assert tokens.vectors.dtype == np.float32
    assert not np.allclose(tokens.vectors, study_tokens(backbone, stacks, grey="equalised").vectors)
    assert len(study_tokens(backbone, [])) == 0
    with pytest.raises(UsageError, match="greyscale, equalised"):
        study_tokens(backbone, stacks, grey="gray")


def test_a_single_series_stays_where_it_lies_until_its_vectors_are_asked_for(tmp_path) -> None:
    np.save(tmp_path / "kept.npy", np.ones((4, WIDTH), np.float16))
    kept = np.load(tmp_path / "kept.npy", mmap_mode="r")
    joined = Tokens.joined([Tokens(kept, np.zeros((4, 3)))], WIDTH)
    assert joined.kept is kept
    assert joined.vectors.dtype == np.float32
    assert joined.vectors.flags.writeable
    assert (len(joined), joined.width) == (4, WIDTH)
