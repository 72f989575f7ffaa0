"""Points as they are written down."""

import json

import numpy as np

from kitlib.localise.points import Located, Point
from kitlib.terms import Landmark


def test_a_point_is_written_with_the_levels_of_the_competition_and_rounded():
    at_mm = np.array([1.23456, -2.0, 3.999])
    left = Point(Landmark("recess", "l5_s1", "left"), 12, 3, 10.126, 20.0, at_mm, 0.98765)
    assert left.to_json() == {
        "landmark": "recess",
        "level": "L5/S1",
        "side": "left",
        "series_id": 12,
        "instance_number": 3,
        "x": 10.13,
        "y": 20.0,
        "patient_mm": [1.23, -2.0, 4.0],
        "confidence": 0.9877,
    }


def test_levels_beside_the_graded_ones_are_spelled_alike_and_an_abstention_has_its_reason():
    above = Point(Landmark("canal", "t12_l1", None), 1, 1, 0.0, 0.0, np.zeros(3), 1.0)
    found = json.loads(json.dumps(Located((above,), True, "in doubt").to_json()))
    assert (found["points"][0]["level"], found["points"][0]["side"]) == ("T12/L1", None)
    assert (found["abstained"], found["reason"]) == (True, "in doubt")


def test_what_is_written_is_plain_numbers_though_points_are_computed_with_numpy():
    point = Point(Landmark("canal", "l1_l2", None), 1, 1, 0.0, 0.0, np.zeros(3), np.float64(0.5))
    assert type(point.to_json()["confidence"]) is float
