import json

import pytest

from kitlib.errors import DataError
from kitlib.phantom.truth import read_truth, true_grades, truth_file
from kitlib.terms import CELL_NAMES


def test_grades_are_a_table_of_the_cells(tmp_path) -> None:
    for study_id in (7, 3):
        file = truth_file(tmp_path, study_id)
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"grades": [study_id / 10 + cell for cell in range(25)]}))
    table = true_grades(tmp_path, [3, 7])
    assert table.index.tolist() == [3, 7]
    assert table.columns.tolist() == list(CELL_NAMES)
    assert table.loc[7].tolist() == [0.7 + cell for cell in range(25)]


@pytest.mark.parametrize("content", [None, "{"])
def test_a_truth_that_is_not_there_says_so(tmp_path, content) -> None:
    if content:
        truth_file(tmp_path, 1).parent.mkdir()
        truth_file(tmp_path, 1).write_text(content)
    with pytest.raises(DataError, match="no truth of study 1"):
        read_truth(tmp_path, 1)
