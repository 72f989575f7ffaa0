import numpy as np
import pytest

from kitlib.report.predictions import study_rows
from tests.report.builders import drawn, make_labels


@pytest.mark.parametrize("known", [True, False])
def test_the_true_severity_stands_in_brackets_where_it_is_known(known):
    probabilities = np.full((25, 3), 1 / 3)
    truth = make_labels(1, empty=0).to_numpy()[0] if known else None
    assert ("[0.33]" in drawn(study_rows(probabilities, "A study", truth))) == known
