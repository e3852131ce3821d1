"""Plans follow from sizes and the budget alone."""

import pytest

from throughtime.errors import ShapeError
from throughtime.learn.auto import Plan, Sizes, plan_of
from throughtime.learn.auto.candidates import candidates
from throughtime.models import MODELS, check_options

SMALL = Sizes(rows=5000, steps=50_000, outputs=6, longest=30)
LARGE = Sizes(rows=30_000, steps=9_000_000, outputs=100, longest=900)
SERIES = Sizes(rows=100, steps=15_000, outputs=2, longest=150, channels=1)


@pytest.mark.parametrize("sizes", [SMALL, LARGE, SERIES])
def test_plan_keeps_to_its_budget_and_survives_json(sizes: Sizes) -> None:
    plan = plan_of(sizes)
    assert plan.seconds <= plan.budget
    assert Plan.from_json(plan.to_json()) == plan
    assert plan_of(sizes) == plan


@pytest.mark.parametrize("sizes", [SMALL, SERIES])
def test_candidates_can_be_built(sizes: Sizes) -> None:
    for candidate in candidates(sizes):
        assert sizes.inputs in MODELS[candidate.model].reads
        check_options(candidate.model, candidate.options)


def test_default_budget_is_two_minutes_then_proportional_to_steps_up_to_a_limit() -> None:
    assert plan_of(SMALL).budget == 120
    assert plan_of(LARGE).budget == 1200


def test_smaller_budgets_give_fewer_folds_then_fewer_models_then_fewer_epochs() -> None:
    whole = plan_of(SMALL, budget=1e6)
    plans = [plan_of(SMALL, budget=whole.seconds * share) for share in (1.0, 0.7, 0.2, 0.05, 0.02)]
    trained = [sum(member.copies * member.epochs for member in plan.members) for plan in plans]
    assert trained == sorted(trained, reverse=True)
    assert len(set(trained)) == len(trained)
    assert plans[0].folds == 5
    assert plans[-1].folds == 1
    assert plans[-1].members[0].epochs < plans[0].members[0].epochs


def test_too_small_a_budget_is_an_error() -> None:
    with pytest.raises(ShapeError, match=r"a budget of 1s is too small for one epoch of \w+ on 9,000,000"):
        plan_of(LARGE, budget=1.0)


def test_few_rows_and_fixed_parts_have_no_folds() -> None:
    assert plan_of(Sizes(rows=9, steps=100, outputs=2, longest=9)).folds == 1
    assert plan_of(SMALL, may_fold=False).folds == 1
    assert plan_of(SMALL, may_blend=False).is_single


def test_epochs_and_batches_of_the_user_are_kept() -> None:
    plan = plan_of(SMALL, epochs=3, tokens_per_batch=500)
    assert {(m.epochs, m.tokens_per_batch) for m in plan.members if not m.solved} == {(3, 500)}
