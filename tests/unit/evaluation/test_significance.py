"""The test of differences: right intervals and error rates, against scipy, slow code and simulated users."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kgplug.data.ranking.auc import auc, auc_by_group
from kgplug.errors import UsageError
from kgplug.evaluation.report import to_blocks, to_table
from kgplug.evaluation.significance import compare_by_user, differences, holm, legend, marks, paired_bootstrap


def _frame(values: np.ndarray, *, columns: tuple[str, ...] = ("NDCG@10",)) -> pd.DataFrame:
    return pd.DataFrame(values, index=list(range(len(values))), columns=list(columns))


def _discrete(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Differences like those of recall: mostly 0, skewed, with mean 0 in the long run."""
    return rng.choice([0.0, 0.5, -0.25], shape, p=[0.7, 0.1, 0.2])


def test_the_p_value_and_the_interval_are_those_of_slow_code() -> None:
    rng = np.random.default_rng(1)
    apart = rng.exponential(1.0, 80) - 0.8
    mean, low, high, p = (float(part[0]) for part in paired_bootstrap(apart[:, None]))
    deviation, drawn = apart.std(), []
    for _ in range(4000):
        resample = rng.choice(apart, len(apart))
        drawn.append(abs(resample.mean() - apart.mean()) / resample.std())
    assert mean == pytest.approx(apart.mean())
    assert p == pytest.approx(np.mean(np.array(drawn) >= abs(apart.mean()) / deviation), abs=0.02)
    reach = np.quantile(drawn, 0.95) * deviation
    assert (low, high) == pytest.approx((mean - reach, mean + reach), abs=0.02)


def test_the_p_value_and_the_interval_are_those_of_scipy() -> None:
    rng = np.random.default_rng(2)
    apart = rng.gamma(4.0, 0.5, 400) - 1.9
    _, low, high, p = (float(part[0]) for part in paired_bootstrap(apart[:, None]))
    theirs = stats.bootstrap((apart,), np.mean, n_resamples=4000, rng=rng)
    assert (low, high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)
    signs = stats.permutation_test((apart,), np.mean, permutation_type="samples", n_resamples=4000, rng=rng)
    assert p == pytest.approx(signs.pvalue, abs=0.04) and 0.05 < p < 0.5


@pytest.mark.parametrize("n", [25, 300])
def test_without_a_difference_five_per_cent_are_false_positives(n: int) -> None:
    rng = np.random.default_rng(n)
    for apart in (_discrete(rng, (n, 1500)), rng.laplace(size=(n, 1500)), rng.normal(size=(n, 1500))):
        _, low, high, p = paired_bootstrap(apart, resamples=999)
        assert 0.03 < (p < 0.05).mean() < 0.07
        assert np.array_equal(p < 0.05, (low > 0) | (high < 0))


def test_a_known_difference_is_found_and_is_in_95_per_cent_of_the_intervals() -> None:
    rng = np.random.default_rng(5)
    apart = rng.gamma(2.0, 0.5, (200, 1000)) - 1 + 0.3
    mean, low, high, p = paired_bootstrap(apart, resamples=999)
    assert (p < 0.05).mean() > 0.95
    assert mean.mean() == pytest.approx(0.3, abs=0.01)
    assert ((low <= 0.3) & (high >= 0.3)).mean() == pytest.approx(0.95, abs=0.02)


def test_many_users_are_resampled_in_groups_with_the_same_interval() -> None:
    apart = np.random.default_rng(2).normal(0.02, 1.0, (20_003, 1))
    mean, low, high, p = (float(part[0]) for part in paired_bootstrap(apart))
    reach = 1.96 * float(apart.std()) / math.sqrt(len(apart))
    assert (mean, high - low) == pytest.approx((float(apart.mean()), 2 * reach), rel=0.03)
    assert p == pytest.approx(stats.ttest_1samp(apart[:, 0], 0).pvalue, abs=0.01)


def test_groups_of_one_and_two_users_widen_no_interval() -> None:
    apart = np.random.default_rng(6).normal(0.5, 0.1, (1500, 1))
    mean, low, high, _ = (float(part[0]) for part in paired_bootstrap(apart))
    reach = 1.96 * float(apart.std()) / math.sqrt(len(apart))
    assert (mean, high - low) == pytest.approx((float(apart.mean()), 2 * reach), rel=0.1)
    assert [float(part[0]) for part in paired_bootstrap(np.full((1500, 1), 0.5))[:3]] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("n_tests", [200, 2_000, 20_000])
def test_a_large_difference_is_found_among_any_number_of_tests(n_tests: int) -> None:
    rng = np.random.default_rng(7)
    apart = np.column_stack([rng.normal(1.0, 1.0, 60), rng.normal(0.0, 1.0, 60)])
    _, low, high, p = paired_bootstrap(apart, n_tests=n_tests)
    assert holm(p, n_tests=n_tests)[0] < 0.05 < p[1] and low[0] > 0 and low[1] < 0 < high[1]
    assert p[1] == paired_bootstrap(apart)[3][1]  # only low p-values need more resamples


def test_equal_models_have_a_p_value_of_one() -> None:
    assert [float(part[0]) for part in paired_bootstrap(np.zeros((50, 1)))] == [0, 0, 0, 1]
    frame = _frame(np.random.default_rng(0).random(50))
    (found,) = compare_by_user({"A": frame, "B": frame.copy()}, "NDCG@10")
    assert (found.p, found.p_holm, found.more_than_chance) == (1, 1, False)
    assert str(found) == "NDCG@10: B and A are equal for each of 50 users."


def test_a_handful_of_users_proves_nothing() -> None:
    for n in range(2, 6):
        apart = np.column_stack([np.full(n, 0.1), np.arange(1, n + 1.0)])
        mean, _, _, p = paired_bootstrap(apart)
        assert mean[0] == pytest.approx(0.1) and (p >= 2.0 ** (1 - n)).all() and (p > 0.05).all()
    assert paired_bootstrap(np.full((20, 1), 0.1))[3][0] < 0.001
    one_of_many = np.zeros((1000, 1))
    one_of_many[7] = 1.0
    assert paired_bootstrap(one_of_many)[3][0] > 0.3


@pytest.mark.parametrize("n", [2, 3])
def test_two_or_three_users_have_an_infinite_interval(n: int) -> None:
    (found,) = differences({"A": _frame(np.arange(1.0, n + 1)), "B": _frame(np.zeros(n))}, [("A", "B")])
    assert (found.low, found.high) == (-math.inf, math.inf) and "(95 % interval infinite): may be chance" in str(found)


@pytest.mark.parametrize(("n", "measured"), [(1, "1 user is measured"), (0, "0 users are measured")])
def test_one_user_or_none_is_said_plainly(n: int, measured: str) -> None:
    high, low = _frame(np.full((n, 1), 0.75)), _frame(np.full((n, 1), 0.25))
    (found,) = differences({"A": high, "B": low}, [("A", "B")])
    assert found.p == 1 and math.isnan(found.low) and not found.more_than_chance
    assert str(found) == (
        f"NDCG@10: A against B: {measured}. At least two are needed to say whether a difference is more than chance."
    )


def test_holms_correction_is_the_one_computed_by_hand() -> None:
    # Sorted: .005 · 4 = .02, .01 · 3 = .03, .03 · 2 = .06, .04 · 1 = .04, raised to .06.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.4, 0.9])).tolist() == [0.8, 0.9]
    assert holm(np.array([0.01, 0.2]), n_tests=10) == pytest.approx([0.1, 1.0])
    assert holm(np.empty(0)).tolist() == []


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.data())
def test_some_tests_of_a_family_are_never_corrected_less_than_with_the_others(values, data) -> None:
    p = np.array(values)
    some = np.array(data.draw(st.lists(st.sampled_from(range(len(p))), min_size=1, unique=True)))
    assert (holm(p[some], n_tests=len(p)) >= holm(p)[some] - 1e-12).all()


def test_a_table_of_equal_models_has_a_mark_in_at_most_one_of_twenty() -> None:
    rng = np.random.default_rng(8)
    marked = 0
    for _ in range(60):
        values = {name: _frame(rng.exponential(1.0, 30)) for name in "ABCDEF"}
        marked += any(each.more_than_chance for each in compare_by_user(values, "NDCG@10"))
    assert marked <= 7  # 3 on average; without counting all pairs, about 11


def test_models_are_compared_with_the_best_or_with_a_baseline() -> None:
    rng = np.random.default_rng(3)
    base = rng.random(60)
    columns = ("AUC", "NDCG@10")
    values = {
        name: _frame(np.column_stack([base, base + gain + rng.normal(0, 0.05, 60)]), columns=columns)
        for name, gain in (("low", 0.0), ("best", 0.3), ("close", 0.299))
    }
    found = compare_by_user(values, "NDCG@10")
    assert [(each.model, each.metric) for each in found] == [(n, m) for n in ("low", "close") for m in columns]
    assert {each.baseline for each in found} == {"best"}
    assert marks(found) == {("low", "NDCG@10")}
    low = found[1]
    assert low.difference == pytest.approx(-0.3, abs=0.05) and low.low < low.difference < low.high < 0
    assert str(low).startswith("NDCG@10: low is below best by 0.")
    assert "): more than chance (corrected p < 0.00" in str(low)
    first, second = legend(found, "NDCG@10")
    assert first.startswith("* differs from best by more than chance (paired bootstrap over 60 test users, p < 0.05")
    assert second == "By NDCG@10, best may differ only by chance from: close."
    beforehand = compare_by_user(values, "NDCG@10", baseline="low")
    assert {each.baseline for each in beforehand} == {"low"} and beforehand[1].difference > 0
    assert beforehand[0].p_holm == 1 and beforehand[1].p == pytest.approx(low.p)
    assert low.p_holm == pytest.approx(6 * low.p)  # 3 pairs of models, 2 metrics
    assert beforehand[1].p_holm == pytest.approx(4 * low.p)  # 2 pairs
    with pytest.raises(UsageError, match=r'baseline "other": expected one of low, best, close'):
        compare_by_user(values, "NDCG@10", baseline="other")
    assert compare_by_user({"A": values["low"]}, "NDCG@10") == [] and legend([], "NDCG@10") == []


def test_users_without_a_value_are_left_out_of_this_metric_only() -> None:
    one = _frame(np.column_stack([np.arange(8.0), np.arange(8.0)]), columns=("AUC", "NDCG@10"))
    other = one * 0.5
    other.loc[3, "AUC"] = np.nan
    found = differences({"A": one, "B": other}, [("A", "B")])
    assert [each.users for each in found] == [7, 8]
    assert found[0].difference == pytest.approx((28 - 3) / 2 / 7) and found[1].difference == pytest.approx(28 / 2 / 8)


def test_models_measured_on_different_users_are_refused() -> None:
    one = _frame(np.arange(5.0))
    with pytest.raises(UsageError, match=r"A and B were measured on different users"):
        differences({"A": one, "B": one.iloc[1:]}, [("A", "B")])


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.booleans(), st.sampled_from([0.0, 0.25, 0.5, 1.0])), min_size=1, max_size=40
    )
)
def test_the_mean_over_users_of_their_shares_is_the_auc(rows) -> None:
    users, labels, scores = (np.array(part) for part in zip(*rows, strict=True))
    names, values = auc_by_group(labels, scores, users)
    assert names.tolist() == sorted(set(users.tolist()))
    assert float(values.mean()) == pytest.approx(auc(labels, scores), nan_ok=True)


def test_the_error_of_a_difference_in_auc_is_that_of_resampled_users() -> None:
    rng = np.random.default_rng(4)
    users = np.repeat(np.arange(120), rng.integers(2, 20, 120) * 2)
    labels = np.arange(len(users)) % 2 == 0
    of_user = rng.normal(0, 1.0, 120)[users]  # a user's pairs depend on each other
    one, other = (labels + of_user + rng.normal(0, 1.5, len(users)) for _ in range(2))
    values = [auc_by_group(labels, scores, users)[1] for scores in (one, other)]
    drawn = []
    of = [np.flatnonzero(users == user) for user in range(120)]
    for _ in range(600):
        rows = np.concatenate([of[user] for user in rng.integers(0, 120, 120)])
        drawn.append(auc(labels[rows], one[rows]) - auc(labels[rows], other[rows]))
    apart = (values[0] - values[1])[:, None]
    assert float(apart.std()) / math.sqrt(120) == pytest.approx(np.std(drawn), rel=0.12)
    mean, low, high, _ = (float(part[0]) for part in paired_bootstrap(apart))
    assert mean == pytest.approx(auc(labels, one) - auc(labels, other))
    assert (low, high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]).tolist(), abs=0.012)


def test_a_star_marks_a_value_and_keeps_the_column_aligned() -> None:
    table = pd.DataFrame({"AUC": [0.5, 0.75], "users": [3, 3]}, index=pd.Index(["MKR", "MF"], name="model"))
    shown = to_table(table, marks={("MKR", "AUC")})
    assert [str(cell) for cell in shown.columns[1].cells] == ["0.5000*", "0.7500 "]
    assert [str(cell) for cell in shown.columns[2].cells] == ["3", "3"]
    assert "AUC: 0.5000*\n" in to_blocks(table, marks={("MKR", "AUC")})
    assert "AUC: 0.7500\n" in to_blocks(table, marks={("MKR", "AUC")})
