from dataclasses import dataclass

import numpy as np
import pandas as pd

from kitlib.evaluate import embeddings
from kitlib.terms import EMPTY, SEQUENCES, SEVERITIES, Cell, group2sequence
from tests.report.builders import SERIES, make_labels, make_landmarks, make_stack


@dataclass
class Slices:
    vectors: np.ndarray
    positions_mm: np.ndarray


def make_tokens(studies=3, slices=4):
    """Vectors that encode sequence and position: nearest neighbours are neighbours in the patient."""
    positions_mm = np.arange(slices)[:, None] * np.array([5.0, 0.0, 6.0])
    tokens = {}
    for k, sequence in enumerate(SEQUENCES):
        angle = k * 2 + np.arange(slices) * 0.1
        vectors = np.stack([np.cos(angle), np.sin(angle), np.zeros(slices)], axis=1).astype(np.float32)
        tokens[sequence] = [Slices(vectors, positions_mm) for _ in range(studies)]
    return tokens


def test_positions_are_counted_from_the_middle_along_the_stack():
    table = embeddings.slice_table(np.array([7, 8, 9]), make_tokens())
    assert table.vectors.shape == (36, 3)
    by_sequence = table.facts.groupby("sequence")["position_mm"]
    np.testing.assert_allclose(by_sequence.mean(), 0, atol=1e-9)
    assert by_sequence.max()[SEQUENCES[0]] == 7.5  # x of sagittal slices
    assert by_sequence.max()[SEQUENCES[2]] == 9.0  # z of axial ones


def test_the_nearest_neighbour_is_of_another_study_and_finds_the_same_place():
    table = embeddings.slice_table(np.array([7, 8, 9]), make_tokens())
    studies = table.facts["study_id"].to_numpy()
    partner = embeddings.nearest_elsewhere(table.vectors, studies)
    assert (studies[partner] != studies).all()
    check = embeddings.neighbour_check(table)
    assert check.at["nearest", "same sequence"] == 1
    assert check.at["nearest", "median distance (mm)"] == 0
    assert check.at["by chance", "same sequence"] < 1


def test_one_study_has_no_neighbour_elsewhere():
    assert embeddings.nearest_elsewhere(np.eye(3), np.array([1, 1, 1])).tolist() == [-1, -1, -1]
    assert embeddings.nearest_elsewhere(np.empty((0, 3)), np.empty(0)).size == 0
    check = embeddings.neighbour_check(embeddings.slice_table(np.array([7]), make_tokens(studies=1)))
    assert check.isna().all(axis=None)


def test_a_missing_sequence_has_no_slices():
    tokens = make_tokens(studies=1)
    tokens[SEQUENCES[0]] = [Slices(np.empty((0, 3), np.float32), np.empty((0, 3)))]
    assert len(embeddings.slice_table(np.array([7]), tokens).facts) == 8


def annotated(labels, landmarks):
    """Five slices per sequence, whose vectors begin with their own index."""
    stacks = {SERIES[group]: make_stack(sequence=sequence) for group, sequence in group2sequence.items()}
    vectors = np.stack([np.arange(5), np.arange(5) % 2], axis=1).astype(np.float32)
    tokens = {
        sequence: [Slices(vectors, stacks[SERIES[group]].centres_mm) for _ in labels.index]
        for group, sequence in group2sequence.items()
    }
    stacks_of = lambda _, series_id: [stacks[series_id]]  # noqa: E731
    return embeddings.annotated_slices(labels.index.to_numpy(), tokens, landmarks, labels, stacks_of)


def test_an_annotated_slice_comes_with_its_cells_severity():
    labels = make_labels(2, empty=0)
    landmarks = make_landmarks(labels)
    table = annotated(labels, landmarks)
    assert len(table.facts) == len(table.vectors) == len(landmarks)
    for (_, point), (_, fact) in zip(
        landmarks.sort_values(["study_id", "series_id"], kind="stable").iterrows(), table.facts.iterrows()
    ):
        cell = Cell(point["condition"], point["level"])
        assert fact["severity"] == SEVERITIES[labels.at[point["study_id"], cell.name]]
    canal = table.vectors[(table.facts["group"] == "spinal").to_numpy()]
    assert canal[:, 0].tolist() == [3.0] * 10  # instance 2 is the fourth slice by position


def test_points_without_a_label_or_a_slice_are_left_out():
    labels = make_labels(1, empty=0)
    landmarks = make_landmarks(labels)
    assert len(annotated(labels * 0 + EMPTY, landmarks).facts) == 0
    assert len(annotated(labels, landmarks.assign(instance_number=99)).facts) == 0
    assert len(annotated(labels, landmarks.assign(study_id=1)).facts) == 0


def test_narrow_slices_lie_beside_narrow_ones_of_other_studies_where_vectors_tell():
    facts = pd.DataFrame(
        {
            "study_id": [1, 2, 3, 4],
            "group": "spinal",
            "level": "l1_l2",
            "severity": [*SEVERITIES[:1] * 2, *SEVERITIES[1:]],
        }
    )
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], np.float32)
    shares = embeddings.severity_neighbours(embeddings.SliceTable(vectors, facts)).loc["spinal"]
    assert (shares["narrow"], shares["beside a narrow one"], shares["beside another"]) == (0.5, 1, 0)
    mixed = embeddings.severity_neighbours(embeddings.SliceTable(vectors[[0, 2, 1, 3]], facts)).loc["spinal"]
    assert (mixed["beside a narrow one"], mixed["beside another"]) == (0, 1)
