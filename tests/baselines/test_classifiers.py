"""Classifiers against scikit-learn, and hidden Markov models against a sum over all paths."""

import itertools

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from smilelab.baselines.classifiers import Clips, HiddenMarkov, NaiveBayes, Neighbours, SupportVectorsOfRows
from smilelab.baselines.gaussian_hmm import GaussianHMM


def model(seed=0, states=3, signals=2):
    generator = np.random.default_rng(seed)
    start, turns = generator.dirichlet(np.ones(states)), generator.dirichlet(np.ones(states), states)
    means, variances = generator.normal(size=(states, signals)), generator.uniform(0.2, 1, (states, signals))
    return GaussianHMM(np.log(start), np.log(turns), means, variances)


def by_all_paths(hmm, course):
    whole = 0.0
    for path in itertools.product(range(len(hmm.start)), repeat=len(course)):
        told = np.exp(hmm.start[path[0]]) * np.prod(
            [np.exp(hmm.transitions[a, b]) for a, b in itertools.pairwise(path)]
        )
        whole += told * np.prod(norm.pdf(course, hmm.means[list(path)], np.sqrt(hmm.variances[list(path)])))
    return np.log(whole)


def drawn(hmm, count, length, seed=0):
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        state = generator.choice(len(hmm.start), p=np.exp(hmm.start))
        course = []
        for _ in range(length):
            course.append(generator.normal(hmm.means[state], np.sqrt(hmm.variances[state])))
            state = generator.choice(len(hmm.start), p=np.exp(hmm.transitions[state]))
        found.append(np.array(course))
    return found


def test_the_likelihood_sums_over_all_paths_whatever_the_lengths():
    hmm, generator = model(), np.random.default_rng(1)
    courses = [generator.normal(size=(length, 2)) for length in (1, 5, 3)]
    expected = [by_all_paths(hmm, course) for course in courses]
    np.testing.assert_allclose(hmm.log_likelihood(courses), expected)


def test_fitting_never_lowers_the_likelihood_and_finds_what_was_planted():
    true = GaussianHMM(
        np.log([0.98, 0.02]), np.log([[0.95, 0.05], [0.1, 0.9]]), np.array([[-2.0], [1.0]]), np.array([[0.3], [0.6]])
    )
    courses = drawn(true, 40, 60)
    likelihoods = [
        GaussianHMM.fit(courses, 2, seed=0, rounds=rounds).log_likelihood(courses).sum() for rounds in range(6)
    ]
    assert (np.diff(likelihoods) >= -1e-6 * abs(likelihoods[0])).all()
    found = GaussianHMM.fit(courses, 2, seed=0)
    order = np.argsort(found.means[:, 0])
    np.testing.assert_allclose(found.means[order], true.means, atol=0.1)
    np.testing.assert_allclose(found.variances[order], true.variances, atol=0.1)
    np.testing.assert_allclose(np.exp(found.transitions[np.ix_(order, order)]), np.exp(true.transitions), atol=0.03)


def test_one_round_is_the_expectation_over_all_paths():
    # Means after one round, by summing over every path of two short courses.
    before = model(states=2)
    courses = [np.random.default_rng(k).normal(size=(4, 2)) for k in range(2)]
    top, under = np.zeros((2, 2)), np.zeros(2)
    for course in courses:
        whole = np.exp(by_all_paths(before, course))
        for path in itertools.product(range(2), repeat=4):
            told = np.exp(before.start[path[0]])
            told *= np.prod([np.exp(before.transitions[a, b]) for a, b in itertools.pairwise(path)])
            told *= np.prod(norm.pdf(course, before.means[list(path)], np.sqrt(before.variances[list(path)]))) / whole
            for at, state in enumerate(path):
                top[state] += told * course[at]
                under[state] += told
    padded, known = np.stack(courses), np.ones((2, 4), bool)
    likelihood, after = before._improved(padded, known, np.full(2, 1e-8))
    np.testing.assert_allclose(after.means, top / under[:, None], rtol=1e-4)
    assert likelihood == pytest.approx(sum(by_all_paths(before, course) for course in courses))


def test_odd_courses_are_fitted():
    still = [np.zeros((length, 2)) for length in (1, 8)]
    found = GaussianHMM.fit(still, 4, seed=0)
    assert len(found.start) == 1
    assert np.isfinite(found.log_likelihood([*still, np.ones((3, 2))])).all()


def clips(count=60, seed=0):
    generator = np.random.default_rng(seed)
    y = np.arange(count) % 2
    rows = generator.normal(size=(count, 5)) + y[:, None] * [0, 1.5, 0, -1, 0]
    # In one class the signal goes to and fro quickly.
    courses = [
        np.sin(np.arange(length)[:, None] * (2.0 if label else 0.3)) + 0.1 * generator.normal(size=(length, 1))
        for label, length in zip(y, generator.integers(20, 40, count), strict=True)
    ]
    return Clips(rows, courses), y


def test_neighbours_are_scikit_learns():
    (known, y), (new, _) = clips(), clips(seed=1)
    machine = Neighbours(7)
    machine.fit(known, y, seed=0)
    scaler = StandardScaler().fit(known.rows)
    peer = KNeighborsClassifier(7).fit(scaler.transform(known.rows), y)
    np.testing.assert_allclose(machine.decide(new) + 0.5, peer.predict_proba(scaler.transform(new.rows))[:, 1])
    few = Neighbours(9)
    few.fit(known.take(np.arange(4)), y[:4], seed=0)
    # Three of four: never a tie.
    assert set(np.round(6 * few.decide(new)).astype(int)) <= {-3, -1, 1, 3}


def test_naive_bayes_is_scikit_learns():
    (known, y), (new, _) = clips(), clips(seed=1)
    scaler = StandardScaler().fit(known.rows)
    known, new = (Clips(scaler.transform(part.rows), part.courses) for part in (known, new))
    machine = NaiveBayes()
    machine.fit(known, y, seed=0)
    told = GaussianNB(var_smoothing=1e-2).fit(known.rows, y).predict_joint_log_proba(new.rows)
    np.testing.assert_allclose(machine.decide(new), (told[:, 1] - told[:, 0]) / 5)


def test_hidden_markov_models_hear_what_goes_to_and_fro():
    (known, y), (new, labels) = clips(), clips(seed=1)
    machine = HiddenMarkov(3)
    machine.fit(known, y, seed=0)
    assert ((machine.decide(new) > 0) == labels).mean() > 0.95


@pytest.mark.parametrize(
    "make", [lambda: SupportVectorsOfRows(1.0, 0.5), lambda: Neighbours(3), NaiveBayes, lambda: HiddenMarkov(2)]
)
def test_a_state_of_arrays_gives_equal_decisions(make):
    (known, y), (new, _) = clips(), clips(seed=1)
    first, again, same = make(), make(), make()
    first.fit(known, y, seed=3)
    same.fit(known, y, seed=3)
    again.load_state({name: np.array(value) for name, value in first.state().items()})
    np.testing.assert_array_equal(again.decide(new), first.decide(new))
    np.testing.assert_array_equal(same.decide(new), first.decide(new))
    np.testing.assert_allclose(first.decide(new.take(np.arange(7))), first.decide(new)[:7])
