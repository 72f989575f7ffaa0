import numpy as np
import pandas as pd
import pytest

from kitlib.evaluate.embeddings import SliceTable, principal_map
from kitlib.report.figures import embeddings as maps
from kitlib.terms import SEVERITIES
from tests.report.builders import drawn


@pytest.mark.parametrize("rows", [2, 30])
def test_a_map_has_a_panel_for_each_colouring(rows):
    random = np.random.default_rng(0)
    severities = random.choice(SEVERITIES, rows)
    colours = {"severity": pd.Series(severities), "position (mm)": pd.Series(random.random(rows))}
    texts = drawn(maps.projection(principal_map(random.random((rows, 5))), colours, "A map"))
    assert {"A map", "coloured by severity", "coloured by position (mm)", *severities} <= set(texts)


def test_no_embedding_says_so():
    assert drawn(maps.projection(np.zeros((0, 2)), {}, "A map")) == ["no embedding to draw"]
    empty = SliceTable(np.zeros((0, 2)), pd.DataFrame({"group": [], "severity": []}))
    assert drawn(maps.severity_maps(empty)) == ["no annotated slice was embedded"]


def test_severities_have_a_map_for_each_group():
    groups = ["spinal"] * 4 + ["foraminal"] * 2
    facts = pd.DataFrame({"group": groups, "severity": [*SEVERITIES, *SEVERITIES]})
    texts = drawn(maps.severity_maps(SliceTable(np.random.default_rng(0).random((6, 3)), facts)))
    assert {"Spinal canal", "Neural foramen", *SEVERITIES} <= set(texts)
    assert "Subarticular" not in texts
