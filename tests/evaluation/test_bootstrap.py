"""The paired bootstrap, where all draws can be counted by hand."""

import numpy as np
import pytest

from siamfc_jax.evaluation import bootstrap


def test_two_sequences_by_hand():
    # Differences 0 and 1: the mean of two draws is 0, 1/2, 1 with probability 1/4, 1/2, 1/4.
    found = bootstrap.mean_difference([0.5, 1.5], [0.5, 0.5])
    assert found.mean == 0.5
    assert (found.low, found.high) == (0, 1)
    assert found.twice_error == pytest.approx(2 * np.sqrt(1 / 8), abs=0.01)
    assert found.sequences == 2


def test_three_sequences_by_hand():
    # Three draws of 0, 0, 3: their mean is binomial with n = 3 and p = 1/3, variance 2/3. All
    # three are 3 in 1 of 27 draws, more than 2.5 %, and none is in 8 of 27.
    found = bootstrap.mean_difference([3, 0, 0], [0, 0, 0])
    assert found.mean == 1
    assert (found.low, found.high) == (0, 3)
    assert found.twice_error == pytest.approx(2 * np.sqrt(2 / 3), abs=0.03)


def test_the_comparison_is_paired():
    # The sequences differ a lot, the trackers by .1 on each of them: nothing is unsure.
    hard_to_easy = np.linspace(0, 0.9, 10)
    found = bootstrap.mean_difference(hard_to_easy + 0.1, hard_to_easy)
    assert found.low == pytest.approx(0.1) == found.high
    assert found.twice_error == pytest.approx(0)


def test_the_interval_is_that_of_the_normal_distribution_for_many_sequences():
    differences = np.random.default_rng(1).normal(0.02, 0.1, 400)
    found = bootstrap.mean_difference(differences, np.zeros(400))
    error = differences.std() / np.sqrt(400)
    assert found.twice_error == pytest.approx(2 * error, rel=0.03)
    assert found.low == pytest.approx(differences.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(differences.mean() + 1.96 * error, abs=0.1 * error)


def test_the_same_numbers_give_the_same_interval():
    numbers = np.random.default_rng(2).uniform(size=(2, 33))
    assert bootstrap.mean_difference(*numbers) == bootstrap.mean_difference(*numbers)
    swapped = bootstrap.mean_difference(*numbers[::-1])
    assert swapped.low == pytest.approx(-bootstrap.mean_difference(*numbers).high)


@pytest.mark.parametrize(("first", "second"), [([], []), ([1, 2], [1]), ([[1]], [[1]])])
def test_numbers_that_are_no_pairs_are_refused(first, second):
    with pytest.raises(ValueError, match=r"needs one number a sequence of both trackers, got sh"):
        bootstrap.mean_difference(first, second)
