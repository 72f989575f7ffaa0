import numpy as np
import pytest

from kitlib.phantom import statistics
from kitlib.phantom.labels import PREVALENCE
from kitlib.terms import CELL_NAMES, EMPTY

GROUP2COUNT = {"prevalence": 75, "any severe": 1, "empty": 1, "left-right": 10, "neighbours": 20}
LEFT_FORAMEN, RIGHT_FORAMEN = 5, 10  # columns of the foramina at L1/L2


def make_codes(studies: int = 60, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, (studies, 25)).astype(np.int8)


def make_like_published(studies: int = 2000) -> np.ndarray:
    """Codes with the published prevalence: each column has its counts in its own order."""
    rng = np.random.default_rng(1)
    counts = [np.round(shares.cumsum() * studies).astype(int) for shares in PREVALENCE]
    columns = [np.searchsorted(count, np.arange(studies), side="right") for count in counts]
    return np.stack([rng.permutation(column) for column in columns], axis=1).astype(np.int8)


def test_prevalence_is_a_share_of_the_labelled() -> None:
    codes = np.zeros((10, 25), dtype=np.int8)
    codes[:2, 0], codes[2:5, 0], codes[5:, 0] = EMPTY, 2, 1
    codes[:, 1] = EMPTY
    shares = statistics.prevalence(codes)
    assert shares[0].tolist() == [0, 5 / 8, 3 / 8]
    assert np.isnan(shares[1]).all()
    assert shares[2].tolist() == [1, 0, 0]


def test_any_severe_looks_at_labelled_canals_only() -> None:
    codes = np.zeros((4, 25), dtype=np.int8)
    codes[0, 3] = 2
    codes[1, LEFT_FORAMEN] = 2
    codes[2, :5] = EMPTY
    assert statistics.any_severe_rate(codes) == pytest.approx(1 / 3)
    assert np.isnan(statistics.any_severe_rate(codes[2:3]))
    assert statistics.empty_rate(codes) == 5 / 100


def test_correlations_leave_out_studies_without_both_labels() -> None:
    codes = make_codes()
    codes[:, RIGHT_FORAMEN] = codes[:, LEFT_FORAMEN]
    codes[:, LEFT_FORAMEN + 1] = 2 - codes[:, LEFT_FORAMEN]
    codes[:20, RIGHT_FORAMEN] = EMPTY
    codes[:, 0] = 1
    correlation = statistics.correlations(codes)
    assert statistics.left_right(correlation)["neural_foraminal_narrowing_l1_l2"] == pytest.approx(1)
    neighbours = statistics.neighbours(correlation)
    assert neighbours["left_neural_foraminal_narrowing_l1_l2/l2_l3"] == pytest.approx(-1)
    assert correlation[CELL_NAMES[0]].isna().all()


def test_independent_cells_do_not_correlate() -> None:
    correlation = statistics.correlations(make_codes(20_000))
    others = correlation.to_numpy()[~np.eye(25, dtype=bool)]
    assert np.abs(others).max() < 0.04
    assert np.allclose(np.diag(correlation), 1)


def test_labels_agree_with_themselves() -> None:
    codes = make_codes()
    compared = statistics.compare(codes, codes)
    assert compared.groupby("group").size().to_dict() == GROUP2COUNT
    assert compared["within"].all()
    assert (compared["difference"] == 0).all()


def test_each_bound_flags_what_is_outside() -> None:
    real = make_codes(2000)
    real[:, RIGHT_FORAMEN] = real[:, LEFT_FORAMEN]
    drawn = make_codes(2000)
    drawn[:100, CELL_NAMES.index("spinal_canal_stenosis_l4_l5")] = EMPTY
    drawn[:, 0] = 2
    compared = statistics.compare(drawn, real)
    outside = compared[~compared["within"]].groupby("group")["statistic"].agg(list)
    assert outside["left-right"] == ["neural_foraminal_narrowing_l1_l2"]
    assert outside["any severe"] == ["spinal canal"]
    assert set(outside["prevalence"]) >= {f"{CELL_NAMES[0]} Severe", f"{CELL_NAMES[0]} Normal/Mild"}
    assert outside["neighbours"] == [f"{CELL_NAMES[0]}/l2_l3"]  # constant: undefined is not within
    assert "empty" not in outside
    assert (compared["difference"].dropna() == (compared["drawn"] - compared["real"]).dropna()).all()


def test_without_a_real_table_the_published_counts_are_the_yardstick() -> None:
    compared = statistics.compare(make_like_published())
    assert set(compared["group"]) == {"prevalence", "any severe"}
    assert compared.loc[compared["group"] == "prevalence", "within"].all()
    assert not statistics.compare(make_codes())["within"].all()


def test_the_largest_difference_of_each_group_is_named() -> None:
    real = make_codes(500)
    drawn = real.copy()
    drawn[:50, 24] = EMPTY
    drawn[50:200, 24] = 0
    top = statistics.largest(statistics.compare(drawn, real)).set_index("group")
    assert top["count"].to_dict() == GROUP2COUNT
    assert top.at["prevalence", "statistic"] == f"{CELL_NAMES[24]} Normal/Mild"
    assert top.at["prevalence", "difference"] > top.at["prevalence", "bound"] == 0.02
    assert top.at["prevalence", "within_count"] == 72
    assert top.at["any severe", "difference"] == 0


def test_an_undefined_difference_counts_as_the_largest() -> None:
    drawn = make_codes(500)
    drawn[:, 0] = EMPTY
    top = statistics.largest(statistics.compare(drawn, make_codes(500))).set_index("group")
    assert top.at["prevalence", "statistic"].startswith(CELL_NAMES[0])
    assert np.isnan(top.at["prevalence", "difference"])
