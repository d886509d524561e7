"""Laws that are known: found again from runs with noise and a broken run, held by intervals, and asked for the best."""

import itertools
import math

import numpy as np
import pytest

from course_utils.evaluation import scaling

TRUE = scaling.Law(1.6, 60, 400, 0.30, 0.42)
SIZES, BUDGETS = (35e3, 66e3, 144e3, 299e3, 658e3, 1.2e6), tuple(2.0**power for power in (17, 18, 19, 20, 21))
WEIGHTS, TOKENS = np.array(list(itertools.product(SIZES, BUDGETS))).T


def noisy(spread, seed=0):
    return TRUE.loss(WEIGHTS, TOKENS) * np.exp(spread * np.random.default_rng(seed).normal(size=len(WEIGHTS)))


def test_without_noise_the_law_itself_is_found():
    found = scaling.fit(WEIGHTS, TOKENS, noisy(0), resamples=20)
    assert (found.law.alpha, found.law.beta, found.law.E) == pytest.approx((0.30, 0.42, 1.6), rel=0.01)
    assert found.law.loss(2.5e6, 2.2e6) == pytest.approx(TRUE.loss(2.5e6, 2.2e6), rel=1e-4)
    low, high = found.interval(lambda law: law.beta)
    assert low <= 0.42 + 0.005 and high >= 0.42 - 0.005 and high - low < 0.02


def test_a_few_broken_runs_hardly_move_it():
    losses = noisy(0.002)
    losses[[3, 17]] *= 1.3
    found = scaling.fit(WEIGHTS, TOKENS, losses, resamples=5)
    assert found.law.exponent == pytest.approx(TRUE.exponent, abs=0.05)
    assert found.law.loss(2.5e6, 2.2e6) == pytest.approx(TRUE.loss(2.5e6, 2.2e6), rel=0.01)


def test_lbfgs_finds_no_lower_sum_from_there():
    optimize = pytest.importorskip("scipy.optimize")
    losses = noisy(0.004, seed=3)
    law = scaling.fit(WEIGHTS, TOKENS, losses, resamples=1).law

    def total(theta):
        terms = [theta[0] - theta[3] * np.log(WEIGHTS), theta[1] - theta[4] * np.log(TOKENS), theta[2] + 0 * WEIGHTS]
        left = np.logaddexp.reduce(terms) - np.log(losses)
        return scaling._huber(left, scaling.DELTA).sum()

    ours = [math.log(law.A), math.log(law.B), math.log(law.E), law.alpha, law.beta]
    theirs = optimize.minimize(total, ours, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-15})
    assert total(ours) <= theirs.fun * 1.01


def test_intervals_hold_the_truth_and_the_prediction_the_new_run():
    inside, widths, new = np.zeros(4), [], (2.5e6, 2.2e6)
    for seed in range(12):
        found = scaling.fit(WEIGHTS, TOKENS, noisy(0.003, seed), resamples=80, seed=seed)
        asked = [lambda law: law.alpha, lambda law: law.beta, lambda law: law.exponent]
        ends = [found.interval(value) for value in asked]
        loss, low, high = found.predict(*new)
        run = TRUE.loss(*new) * math.exp(0.003 * np.random.default_rng(seed + 1000).normal())
        inside += [a <= value(TRUE) <= b for (a, b), value in zip(ends, asked, strict=True)] + [low <= run <= high]
        widths.append((high - low) / 2 / loss)
    assert (inside >= 9).all()  # of 12; of 100 draws with 200 resamples 94 to 98
    assert np.median(widths) < 0.03


def test_a_prediction_is_as_wide_as_what_is_left_for_fewer_free_numbers():
    left = np.array([-0.01, 0.01] * 5)  # ten runs, five of whose freedom the law has used up
    loss, low, high = scaling.Fit(TRUE, [TRUE] * 200, left).predict(1e6, 1e6)
    assert (low, high) == pytest.approx((loss * math.exp(-0.01 * 2**0.5), loss * math.exp(0.01 * 2**0.5)))


def test_a_law_is_recovered_from_made_runs():
    found = scaling.recovered(TRUE, WEIGHTS, TOKENS, 0.003, draws=8, resamples=60)
    assert set(found) == {"E", "alpha", "beta", "exponent"} and found["beta"]["true"] == 0.42
    assert all(one["inside"] >= 6 / 8 and 0 < one["width"] < 1 for one in found.values())
    assert scaling.recovered(TRUE, WEIGHTS, TOKENS, 0.0003, draws=3)["beta"]["width"] < found["beta"]["width"] / 4


def test_the_best_size_lies_where_neither_more_weights_nor_more_tokens_help():
    weights, tokens = TRUE.optimum(2e12)
    assert 6 * weights * tokens == pytest.approx(2e12)
    there = TRUE.loss(weights, tokens)
    assert there < TRUE.loss(weights * 1.05, tokens / 1.05) and there < TRUE.loss(weights / 1.05, tokens * 1.05)
    grown = TRUE.optimum(2e14)[0] / weights
    assert math.log(grown) / math.log(100) == pytest.approx(TRUE.exponent)


def test_the_published_laws_say_what_is_published():
    # Hoffmann 2022: for Gopher's compute the third approach asks for a model of about 40 G weights
    weights, tokens = scaling.CHINCHILLA.optimum(5.76e23)
    assert weights == pytest.approx(40e9, rel=0.2) and scaling.CHINCHILLA.exponent == pytest.approx(0.4516, abs=1e-3)
    weights, tokens = scaling.CORRECTED.optimum(5.76e23)
    assert (
        15 < tokens / weights < 30
    )  # Besiroglu 2024: about twenty tokens a weight, as the first two approaches had it


def test_an_even_split_of_the_reducible_loss():
    size, data = scaling.Law(1, 8, 9, 0.5, 1).reducible(16, 3)
    assert (size, data) == (2, 3) and scaling.Law(1, 8, 9, 0.5, 1).loss(16, 3) == 6


def test_a_parabola_has_its_minimum_where_it_was_put():
    weights = np.exp([10.0, 11, 12, 13])
    found = scaling.iso_flop_minimum(weights, 4 + 0.1 * (np.log(weights) - 11.4) ** 2)
    assert math.log(found.weights) == pytest.approx(11.4) and found.loss == pytest.approx(4) and found.inside
    assert not scaling.iso_flop_minimum(weights, 4 + 0.1 * (np.log(weights) - 15) ** 2).inside
    assert scaling.power([1, 10, 100], [3, 30, 300]) == pytest.approx((1, 3))


def test_repeats_are_worth_less_each_time():
    assert scaling.effective_tokens(100, 100) == 100
    assert scaling.effective_tokens(100, 400) == pytest.approx(372, abs=2)  # nearly as good as new
    assert scaling.effective_tokens(100, 1e9) == pytest.approx(100 * (1 + scaling.REPEATS))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: scaling.fit([1, 2], [1], [1, 2]), "as many weights as tokens as losses, got 2, 1, 2"),
        (lambda: scaling.fit(WEIGHTS, TOKENS, WEIGHTS * math.nan), "Did a run diverge"),
        (lambda: scaling.fit(WEIGHTS[:5], TOKENS[:5], TOKENS[:5]), "at least 8 runs with 3 sizes"),
        (lambda: scaling.Law(1, 2, 3, -0.1, 1), "five finite numbers"),
        (lambda: TRUE.optimum(0), "above 0, got 0"),
        (lambda: scaling.Law(1, 0, 3, 0.1, 1).optimum(1e9), "no size is best"),
        (lambda: scaling.iso_flop_minimum([1, 2], [1, 2]), "at least three sizes"),
        (lambda: scaling.iso_flop_minimum([1, 2, 4], [1, 2, 1]), "bend downwards"),
        (lambda: scaling.effective_tokens(5, 4), "got 5"),
    ],
)
def test_what_cannot_be_fitted_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_the_seeds_of_one_run_are_drawn_together():
    weights, tokens = np.array([1e5, 1e5, 1e5, 2e5, 2e5, 3e5]), np.array([1e6, 1e6, 2e6, 1e6, 1e6, 1e6])
    drawn = scaling._drawn(weights, tokens, 200, seed=0)
    assert drawn.shape == (200, 6)
    assert (drawn[:, 0] == drawn[:, 1]).all() and (drawn[:, 3] == drawn[:, 4]).all()
    once = drawn[:, [0, 2, 3, 5]]  # sizes and budgets
    assert (once.sum(1) == 4).all() and (once == 0).any(0).all() and (once[:, 0] != once[:, 1]).any()
    assert not (scaling._drawn(weights, tokens, 200, seed=1) == drawn).all()


def test_an_interval_does_not_shrink_where_each_run_is_written_down_twice():
    law, generator = scaling.Law(1.6, 60, 400, 0.30, 0.42), np.random.default_rng(0)
    weights, tokens = np.array(list(itertools.product((3e4, 1e5, 3e5, 1e6), (1e6, 2e6, 4e6, 8e6)))).T
    losses = law.loss(weights, tokens) * np.exp(0.005 * generator.normal(size=len(weights)))
    once = scaling.fit(weights, tokens, losses, resamples=100)
    twice = scaling.fit(*(np.tile(values, 2) for values in (weights, tokens, losses)), resamples=100)
    widths = [high - low for low, high in (one.interval(lambda law: law.exponent) for one in (once, twice))]
    assert widths[1] == pytest.approx(widths[0], rel=0.05)
