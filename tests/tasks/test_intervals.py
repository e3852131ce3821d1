"""Intervals: of a plain bootstrap, of known distributions, and of whole groups."""

import math

import numpy as np
import pytest
from scipy import stats

from throughtime.errors import ShapeError
from throughtime.tasks.class_proportions import ClassProportions, f1_of_shares
from throughtime.tasks.intervals import Interval, WeightedMetrics, bootstrap_interval, wilson_interval
from throughtime.tasks.metrics import classification, multilabel


def mean_of(values: np.ndarray) -> WeightedMetrics:
    return WeightedMetrics(len(values), lambda weights: {"mean": values @ weights / weights.sum(0)})


def ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def test_it_is_the_percentile_interval_of_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=400)
    ours = mean_of(values).intervals(rounds=4000)["mean"]
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    )
    width = reference.confidence_interval.high - reference.confidence_interval.low
    assert ends(ours) == pytest.approx(tuple(reference.confidence_interval), abs=0.03 * width)


def test_a_mean_has_the_interval_of_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    low, high = ends(mean_of(values).intervals(rounds=4000)["mean"])
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 1000**0.5, rel=0.05)
    assert (high + low) / 2 == pytest.approx(values.mean(), abs=0.003)


def test_rows_and_weights_are_the_same_bootstrap() -> None:
    values = np.random.default_rng(0).normal(size=50)
    by_rows = bootstrap_interval(lambda rows: {"mean": values[rows].mean()}, 50, rounds=300)
    by_weights = mean_of(values).intervals(rounds=300)
    assert ends(by_rows["mean"]) == pytest.approx(ends(by_weights["mean"]))


def test_groups_are_drawn_whole() -> None:
    group = np.repeat(np.arange(40), 25)
    values = np.random.default_rng(0).normal(size=40)[group]
    grouped = mean_of(values).intervals(groups=group)["mean"]
    alone = mean_of(values[::25]).intervals()["mean"]
    assert ends(grouped) == pytest.approx(ends(alone))
    seen = []
    bootstrap_interval(
        lambda rows: seen.append(np.bincount(group[rows], minlength=40)) or {"a": 0.0},
        1000,
        groups=group,
        rounds=3,
    )
    assert all((counts % 25 == 0).all() and counts.sum() == 1000 for counts in seen[1:])


def test_the_order_and_names_of_groups_do_not_matter() -> None:
    values, group = np.random.default_rng(0).normal(size=(2, 60))
    number = (group * 3).astype(int)
    order = np.random.default_rng(1).permutation(60)
    by_number = mean_of(values).intervals(groups=number)["mean"]
    by_name = mean_of(values[order]).intervals(groups=[f"{10 + n:02}" for n in number[order]])["mean"]
    assert ends(by_number) == pytest.approx(ends(by_name))


def test_the_same_seed_gives_the_same_interval() -> None:
    metrics = mean_of(np.arange(30.0))
    assert metrics.intervals() == metrics.intervals()
    assert metrics.intervals() != metrics.intervals(seed=1)


def test_rounds_in_which_a_metric_is_undefined_do_not_count() -> None:
    def share(rows: np.ndarray) -> dict[str, float]:
        return {"share": math.nan if 0 in rows else 0.5, "never": math.nan}

    intervals = bootstrap_interval(share, 5, rounds=200)
    assert math.isnan(intervals["never"].low)
    assert math.isnan(intervals["share"].low)  # undefined for the whole sample
    half = bootstrap_interval(lambda rows: {"half": math.nan if 0 not in rows else 0.5}, 5, rounds=200)
    assert ends(half["half"]) == (0.5, 0.5)


@pytest.mark.parametrize("groups", [None, [3, 3, 3]])
def test_one_row_or_group_has_no_interval(groups: list[int] | None) -> None:
    metrics = mean_of(np.arange(3.0) if groups else np.ones(1))
    assert all(map(math.isnan, ends(metrics.intervals(groups=groups)["mean"])))


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (7, 10), (10, 10), (450, 1000)])
def test_wilson_is_its_formula(successes: int, n: int) -> None:
    z, p = 1.959963984540054, successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert ends(wilson_interval(successes, n)) == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_wilson_without_trials() -> None:
    assert all(map(math.isnan, ends(wilson_interval(0, 0))))


def rows_of_classes(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities from which the truth is drawn, so that they are calibrated."""
    generator = np.random.default_rng(0)
    logits = 2 * generator.normal(size=(n, 3))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return shares, (generator.random((n, 1)) > shares.cumsum(1)).sum(1)


def test_every_metric_of_a_classifier_is_in_its_interval() -> None:
    metrics = classification(*rows_of_classes(500), ("a", "b", "c"))
    values, intervals = metrics.values(), metrics.intervals()
    assert set(values) == set(intervals)
    for name, value in values.items():
        assert intervals[name].low <= value <= intervals[name].high, name
        assert intervals[name].low < intervals[name].high, name


def test_fast_intervals_are_those_of_drawn_rows() -> None:
    shares, truth = rows_of_classes(120)
    metrics = classification(shares, truth, ("a", "b", "c"))

    def compute(rows: np.ndarray) -> dict[str, float]:
        return classification(shares[rows], truth[rows], ("a", "b", "c")).values()

    slow = bootstrap_interval(compute, 120, rounds=60)
    fast = metrics.intervals(rounds=60)
    assert {"balanced_accuracy", "f1_macro"} <= set(metrics.class_means)
    for name in set(fast) - {"accuracy", "calibration_error"} - set(metrics.class_means):
        assert ends(fast[name]) == pytest.approx(ends(slow[name])), name
    value = metrics.values()["calibration_error"]
    low, high = ends(slow["calibration_error"])
    assert ends(fast["calibration_error"]) == pytest.approx(
        (min(max(2 * value - high, 0), value), max(2 * value - low, value))
    )


def test_accuracy_has_the_wilson_interval_of_independent_rows_only() -> None:
    shares, truth = rows_of_classes(200)
    metrics = classification(shares, truth, ("a", "b", "c"))
    correct = int((shares.argmax(1) == truth).sum())
    assert metrics.intervals()["accuracy"] == wilson_interval(correct, 200)
    assert metrics.intervals(groups=np.arange(200) // 10)["accuracy"] != wilson_interval(correct, 200)
    assert metrics.intervals(weights=np.arange(200))["accuracy"] != wilson_interval(correct, 200)


def test_a_mean_of_proportions_has_the_distances_of_its_wilson_intervals() -> None:
    successes, trials = np.array([3.0, 0.0, 45.0]), np.array([3.0, 0.0, 50.0])
    low, high = ClassProportions(successes, trials).interval()
    first, last = wilson_interval(3, 3), wilson_interval(45, 50)
    mean = (1 + 0 + 0.9) / 3
    assert low == pytest.approx(mean - math.hypot(1 - first.low, 0.9 - last.low) / 3)
    assert high == pytest.approx(mean + math.hypot(first.high - 1, last.high - 0.9) / 3)
    single = ClassProportions(np.array([4.0]), np.array([7.0]), f1_of_shares).interval()
    shares = wilson_interval(4, 7)
    assert single == pytest.approx([2 * end / (1 + end) for end in ends(shares)])


def test_a_perfect_classifier_of_six_rows_of_a_class_is_not_certain() -> None:
    truth = np.repeat([0, 1], [44, 6])
    metrics = classification(np.eye(2)[truth], truth, ("a", "b"))
    intervals = metrics.intervals()
    recalls = math.hypot(1 - wilson_interval(44, 44).low, 1 - wilson_interval(6, 6).low) / 2
    for name in ("balanced_accuracy", "recall_macro", "precision_macro"):
        assert ends(intervals[name]) == pytest.approx((1 - recalls, 1.0)), name
    share = wilson_interval(6, 6).low
    assert ends(intervals["f1"]) == pytest.approx((2 * share / (1 + share), 1.0))
    assert metrics.intervals(groups=np.arange(50))["f1"] == Interval(1.0, 1.0)


def test_intervals_of_tiny_classes_contain_the_true_balanced_accuracy() -> None:
    generator = np.random.default_rng(0)
    prior, recall, covered, by_bootstrap = np.array([0.5, 0.41, 0.03, 0.03, 0.03]), 0.97, 0, 0
    for _ in range(100):
        truth = generator.choice(5, 100, p=prior)
        wrong = (generator.random(100) > recall) * generator.integers(1, 5, 100)
        metrics = classification(np.eye(5)[(truth + wrong) % 5], truth, tuple("abcde"))
        widened = metrics.intervals(rounds=200)["balanced_accuracy"]
        alone = metrics.intervals(rounds=200, groups=np.arange(100))["balanced_accuracy"]
        covered += widened.low <= recall <= widened.high
        by_bootstrap += alone.low <= recall <= alone.high
    assert covered >= 95
    assert by_bootstrap < 80


def test_macro_averages_of_labels_are_widened() -> None:
    truth = np.zeros((40, 2))
    truth[:20, 0] = truth[:8, 1] = 1
    intervals = multilabel(0.8 * truth + 0.1, truth, ("common", "rare")).intervals()
    low = 1 - math.hypot(1 - wilson_interval(20, 20).low, 1 - wilson_interval(8, 8).low) / 2
    assert ends(intervals["recall_macro"]) == pytest.approx((low, 1.0))
    assert intervals["recall_micro"] == Interval(1.0, 1.0)


def test_draws_without_weight_do_not_count() -> None:
    shares, truth = rows_of_classes(40)
    weights = np.zeros(40)
    weights[:2] = 1.5
    intervals = classification(shares, truth, ("a", "b", "c")).intervals(weights=weights)
    losses = sorted(-np.log(shares[np.arange(2), truth[:2]]))
    assert ends(intervals["loss"]) == pytest.approx(tuple(losses))


def test_a_perfect_classifier_of_twenty_rows_is_not_certain() -> None:
    intervals = classification(np.eye(2)[np.arange(20) % 2], np.arange(20) % 2, ("a", "b")).intervals()
    assert intervals["accuracy"].low == pytest.approx(0.8389, abs=1e-4)
    assert intervals["recall"].low == pytest.approx(wilson_interval(10, 10).low)


def test_precision_and_recall_of_two_classes_have_wilson_intervals() -> None:
    predicted, truth = np.arange(30) % 2, np.arange(30) % 3 % 2
    hits = int((predicted & truth).sum())
    intervals = classification(np.eye(2)[predicted], truth, ("a", "b")).intervals()
    assert intervals["precision"] == wilson_interval(hits, int(predicted.sum()))
    assert intervals["recall"] == wilson_interval(hits, int(truth.sum()))


def test_an_interval_contains_a_value_that_no_draw_reaches() -> None:
    def compute(rows: np.ndarray) -> dict[str, float]:
        return {"distinct": float(len(set(rows))), "repeated": -float(len(set(rows)))}

    intervals = bootstrap_interval(compute, 50)
    assert intervals["distinct"].low < intervals["distinct"].high == 50
    assert -50 == intervals["repeated"].low < intervals["repeated"].high


@pytest.mark.parametrize(("rankings", "rounds"), [(1, 1000), (50_000, 599), (10**7, 200)])
def test_expensive_metrics_have_fewer_rounds(rankings: int, rounds: int) -> None:
    drawn = []

    def compute(weights: np.ndarray) -> dict[str, np.ndarray]:
        drawn.append(weights.shape[1])
        return {"any": weights[0]}

    WeightedMetrics(10, compute, rankings).intervals()
    assert sum(drawn) == rounds + 1  # and once for the values


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "at least 1, got 0"),
        ({"groups": [1, 2]}, "one group for each of 3 rows"),
        ({"weights": [1, 2]}, "one weight for each of 3 rows"),
    ],
)
def test_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        mean_of(np.arange(3.0)).intervals(**options)  # type: ignore[arg-type]


def test_no_rows() -> None:
    with pytest.raises(ShapeError, match="at least one row"):
        bootstrap_interval(lambda rows: {}, 0)
