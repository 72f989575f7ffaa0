import numpy as np
import pytest

from kitlib.errors import ModelError
from kitlib.nn.shards import held_out


def test_nobody_is_both_learnt_from_and_held_out() -> None:
    persons = np.arange(40) // 2
    last = held_out(persons, 0.1)
    assert not set(persons[last]) & set(persons[~last])
    assert set(persons[last]) == {18, 19}
    with pytest.raises(ModelError, match="one person"):
        held_out(persons[:2], 0.1)
