from pathlib import Path

import numpy as np
import pytest

from kitlib.inputs import base
from kitlib.inputs.base import Resources
from kitlib.inputs.pixels import PixelEncoder, PixelInput
from kitlib.mri.ledger import Ledger
from kitlib.terms import AXIAL_T2, SEQUENCES
from tests.inputs.builders import make_studies

ENCODER = PixelInput(48, 16, "whole", "greyscale").encoder(Resources())


def test_a_slice_is_a_row_of_grey_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_studies(tmp_path, monkeypatch).study(1)
    data = ENCODER.encode(study, Ledger())
    bag = data.tokens[AXIAL_T2][0]
    assert (bag.embeddings.shape, bag.embeddings.dtype) == ((7, 16 * 16), np.uint8)
    assert bag.embeddings.std() > 10
    assert np.array_equal(bag.positions_mm[:5], study.stacks(AXIAL_T2)[0].centres_mm)


def test_the_store_holds_what_streaming_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studies = make_studies(tmp_path / "volumes", monkeypatch)
    first, again = (ENCODER.dataset(studies, tmp_path / "store") for _ in range(2))
    assert first.study_ids.tolist() == [2, 1]
    assert first.present.tolist() == [[True, True, False], [True, True, True]]
    assert again.fingerprint == first.fingerprint
    for row, study_id in enumerate(studies.study_ids):
        streamed = ENCODER.encode(studies.study(study_id), Ledger())
        for sequence in SEQUENCES:
            ours, theirs = first.tokens[sequence][row], streamed.tokens[sequence][0]
            assert np.array_equal(ours.embeddings, theirs.embeddings)
            assert np.array_equal(ours.positions_mm, theirs.positions_mm)


def test_what_other_code_has_made_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studies, made, tokens = make_studies(tmp_path / "volumes", monkeypatch), [], PixelEncoder._tokens
    monkeypatch.setattr(PixelEncoder, "_tokens", lambda *of: made.append(of) or tokens(*of))
    for code, times in (("some", 1), ("some", 1), ("other", 2)):
        monkeypatch.setattr(base, "code_fingerprint", lambda _, code=code: code)
        ENCODER.dataset(studies, tmp_path / "store")
        assert len(made) == times * len(studies.keys)
