"""Every error says what is wrong, where and what to do next, and has its own code."""

import pickle
import re

import pytest

from kitlib import errors
from kitlib.errors import KitError, SliceError, TableError


def subclasses(error: type) -> list[type]:
    return [error, *(below for child in error.__subclasses__() for below in subclasses(child))]


TREE = [error for error in subclasses(KitError) if error.__module__ == errors.__name__]


def test_the_message_carries_three_facts_and_the_code():
    error = TableError("the file is empty", where="train.csv", hint="Fetch it again.")
    assert str(error) == "[data.table] the file is empty (train.csv). Fetch it again."
    assert (error.what, error.where, error.hint) == ("the file is empty", "train.csv", "Fetch it again.")
    assert str(KitError("it broke")) == "[kit] it broke."


def test_the_tree_at_the_top_of_the_file_is_the_tree():
    drawn = re.findall(r"^[│ ├└─]*(\w+Error|KitError)\b *([\w.*]*)", errors.__doc__, re.MULTILINE)
    assert [name for name, _ in drawn] == [error.__name__ for error in TREE]
    codes = {name: code for name, code in drawn if code and "*" not in code}
    assert codes == {error.__name__: error.code for error in TREE if error not in (KitError, SliceError)}


def test_codes_are_unique():
    codes = [error.code for error in TREE if error is not SliceError]
    assert len(codes) == len(set(codes))


def test_a_slice_error_has_the_code_of_its_fault():
    error = SliceError("slice.truncated", "the pixels end early", where="7.dcm")
    assert error.code == "slice.truncated"
    assert str(error) == "[slice.truncated] the pixels end early (7.dcm)."


@pytest.mark.parametrize(
    "error",
    [
        TableError("empty", where="train.csv", hint="Fetch it."),
        SliceError("slice.size", "too large", where="7.dcm"),
    ],
)
def test_an_error_survives_the_way_back_from_a_worker_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
