"""Support vector machines on selected features of several parts of a face, and the fusion of their decisions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from smilelab.baselines.by_clip import ByClip, stacked
from smilelab.baselines.clip_samples import Features
from smilelab.baselines.machines import Floats, State, SupportVectors, inner_folds

__all__ = ["RULES", "FusedByClip", "FusedMachines", "Ranker", "SelectedSupportVectors", "fuse"]

# Features (n, d), labels (n,) and how many are wanted -> columns, the best first.
Ranker = Callable[[Floats, NDArray[np.int64], int], NDArray[np.int64]]
RULES = ("sum", "product", "vote")


def fuse(decisions: ArrayLike, rule: str) -> Floats:
    """Decisions of several machines as one.

    Parameters
    ----------
    decisions : (m, n) array
        Of m machines on n clips; their logistic functions are taken as probabilities.
    rule : {"sum", "product", "vote"}
        Mean probability; product of probabilities, of either class and then normalised; or mean of votes.

    Returns
    -------
    (n,) array
        Positive for spontaneous: log odds for sum and product, a number between -1 and 1 for votes.

    Raises
    ------
    ValueError
        Another rule.

    Source: Kittler et al. 1998; that decisions are not calibrated first is our choice.
    """
    found = np.asarray(decisions, np.float64)
    if rule == "sum":
        return np.asarray(logit(np.clip(expit(found).mean(0), 1e-12, 1 - 1e-12)))
    if rule == "product":
        # The log odds of a product are the sum of log odds.
        return np.asarray(found.sum(0))
    if rule == "vote":
        return np.asarray(np.sign(found).mean(0))
    raise ValueError(f"rule is {rule!r}; expected one of {', '.join(RULES)}")


class SelectedSupportVectors:
    """A support vector machine on the best features; how many and its constants are chosen by inner folds by subject.

    Features are ranked anew in each inner fold, on its training clips alone.

    Parameters
    ----------
    rank : callable
        Features (n, d), labels (n,) and how many are wanted -> columns, the best first.
    counts : sequence of int
        Candidates for the number of features.
    costs, widths : sequence of float
        As `smilelab.baselines.machines.SupportVectors` takes them.
    folds : int
        Inner folds. The candidate with the most correct clips wins, of equal ones the first.

    Raises
    ------
    ValueError
        No candidate, or a count below 1.
    """

    def __init__(
        self, rank: Ranker, *, counts: Sequence[int], costs: Sequence[float], widths: Sequence[float], folds: int
    ) -> None:
        self.rank, self.folds = rank, folds
        self.candidates = list(itertools.product(counts, costs, widths))
        if not self.candidates or min(counts) < 1:
            raise ValueError(f"counts are {counts!r}; expected numbers of features from 1, and one cost and width each")
        self._most = max(counts)
        self._chosen: NDArray[np.int64] = np.empty(0, np.int64)
        self._machine: SupportVectors | None = None

    def fit(self, features: ArrayLike, labels: ArrayLike, subjects: ArrayLike, *, seed: int) -> Floats:
        """Choose inside these clips and fit on all of them.

        Parameters
        ----------
        features : float (n, d)
        labels : int (n,)
            1 spontaneous, 0 posed.
        subjects : (n,)
        seed : int
            Of the inner folds.

        Returns
        -------
        float (n,)
            For each clip the decision of a machine that was fitted without its subject, by the chosen candidate; zeros
            where no inner folds can be made.
        """
        x, y = np.asarray(features, np.float64), np.asarray(labels, np.int64)
        outside = np.zeros((len(self.candidates), len(y)))
        for train, test in inner_folds(y, subjects, count=self.folds, seed=seed):
            order = self.rank(x[train], y[train], self._most)
            for number, candidate in enumerate(self.candidates):
                machine, columns = self._fitted(candidate, order, x[train], y[train])
                outside[number, test] = machine.decide(x[test][:, columns])
        correct = ((outside > 0) == (y == 1)).sum(1)
        best = int(np.argmax(correct))
        order = self.rank(x, y, self._most)
        self._machine, self._chosen = self._fitted(self.candidates[best], order, x, y)
        return outside[best]

    def decide(self, features: ArrayLike) -> Floats:
        """Decision values (n,), positive for spontaneous."""
        if self._machine is None:
            raise ValueError("not fitted; call fit or load_state first")
        return self._machine.decide(np.asarray(features, np.float64)[:, self._chosen])

    def state(self, prefix: str) -> State:
        """What was fitted, as arrays, each name with a prefix; ``columns`` are the features chosen, the best first."""
        return {} if self._machine is None else {f"{prefix}columns": self._chosen, **self._machine.state(prefix)}

    def load_state(self, state: Mapping[str, NDArray[np.generic]], prefix: str) -> None:
        """Take over what another one was fitted to."""
        self._chosen = np.asarray(state[f"{prefix}columns"], np.int64)
        self._machine = SupportVectors(costs=[1.0], widths=[1.0])
        self._machine.load_state(state, prefix)

    def _fitted(
        self, candidate: tuple[int, float, float], order: NDArray[np.int64], x: Floats, y: NDArray[np.int64]
    ) -> tuple[SupportVectors, NDArray[np.int64]]:
        count, cost, width = candidate
        columns = order[:count]
        machine = SupportVectors(costs=[cost], widths=[width])
        return machine.fit(x[:, columns], y, np.arange(len(y)), seed=0), columns


class FusedMachines:
    """One machine a part of the face, and a rule that joins their decisions, chosen by the same inner folds.

    Parameters
    ----------
    parts : sequence of str
        Names of the parts.
    rules : sequence of str
        Candidates out of `RULES`.
    rank, counts, costs, widths, folds
        Of each part's `SelectedSupportVectors`.

    Raises
    ------
    ValueError
        An unknown rule or none.
    """

    def __init__(
        self,
        parts: Sequence[str],
        *,
        rules: Sequence[str],
        rank: Ranker,
        counts: Sequence[int],
        costs: Sequence[float],
        widths: Sequence[float],
        folds: int,
    ) -> None:
        if not rules or set(rules) - set(RULES):
            raise ValueError(f"rules are {rules!r}; expected some of {', '.join(RULES)}")
        self.rules, self.parts = tuple(rules), tuple(parts)
        self._machines = {
            part: SelectedSupportVectors(rank, counts=counts, costs=costs, widths=widths, folds=folds) for part in parts
        }
        self._rule = -1

    def fit(self, parts: Mapping[str, Floats], labels: ArrayLike, subjects: ArrayLike, *, seed: int) -> None:
        """Fit each machine on its part's features (n, d), then choose the rule by clips outside their inner folds."""
        outside = [machine.fit(parts[part], labels, subjects, seed=seed) for part, machine in self._machines.items()]
        right = np.asarray(labels) == 1
        self._rule = int(np.argmax([((fuse(outside, rule) > 0) == right).sum() for rule in self.rules]))

    def decide(self, parts: Mapping[str, Floats]) -> Floats:
        """Decision values (n,) of the parts' features, positive for spontaneous."""
        if self._rule < 0:
            raise ValueError("not fitted; call fit or load_state first")
        told = [machine.decide(parts[part]) for part, machine in self._machines.items()]
        return fuse(told, self.rules[self._rule])

    def state(self) -> State:
        """What was fitted, as arrays; ``rule`` is a number within `rules`."""
        found: State = {"rule": np.array([self._rule], np.int64)}
        for part, machine in self._machines.items():
            found |= machine.state(f"{part}.")
        return found

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what another one with the same options was fitted to."""
        for part, machine in self._machines.items():
            machine.load_state(state, f"{part}.")
        self._rule = int(np.asarray(state["rule"])[0])


class FusedByClip(ByClip):
    """A method with one machine for each of its features, named as they are, and their decisions fused.

    A subclass sets `extractors` and `machines`.
    """

    machines: FusedMachines

    def learn(
        self, features: list[Features], labels: NDArray[np.int64], subjects: NDArray[np.str_], *, seed: int
    ) -> None:
        """See :meth:`smilelab.baselines.ByClip.learn`."""
        self.machines.fit(self._parts(features), labels, subjects, seed=seed)

    def decide(self, features: list[Features]) -> Floats:
        """See :meth:`smilelab.baselines.ByClip.decide`."""
        return self.machines.decide(self._parts(features))

    def state(self) -> State:
        """See :meth:`smilelab.baselines.ByClip.state`; ``lips.columns`` and so on are the features chosen of a part."""
        return self.machines.state()

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See :meth:`smilelab.baselines.ByClip.load_state`."""
        self.machines.load_state(state)

    def _parts(self, features: list[Features]) -> dict[str, Floats]:
        return {part: stacked(features, part) for part in self.machines.parts}
