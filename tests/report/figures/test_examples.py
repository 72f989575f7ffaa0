import pandas as pd
import pytest

from kitlib.errors import DataError
from kitlib.report.figures import examples
from kitlib.report.figures.examples import first_readable
from kitlib.terms import AXIAL_T2
from tests.report.builders import make_stack

SAGITTAL, AXIAL = make_stack(), make_stack(sequence=AXIAL_T2)
SERIES = pd.DataFrame({"study_id": [1, 1, 2], "folder": ["a", "b", "c"]})


@pytest.mark.parametrize(
    ("readable", "expected"),
    [
        ({"b": AXIAL, "c": SAGITTAL}, (2, SAGITTAL)),
        ({"a": SAGITTAL, "c": SAGITTAL}, (1, SAGITTAL)),
        ({"b": AXIAL}, (1, AXIAL)),
    ],
)
def test_a_sagittal_series_is_preferred_to_the_first_that_can_be_read(monkeypatch, readable, expected):
    def read(folder, _):
        return [readable[folder.name]] if folder.name in readable else []

    monkeypatch.setattr(examples, "read_series", read)
    assert first_readable(SERIES) == expected


def test_nothing_to_read_is_said_clearly(tmp_path):
    with pytest.raises(DataError, match="none of 3 series can be read"):
        first_readable(SERIES.assign(folder=str(tmp_path / "absent")))
