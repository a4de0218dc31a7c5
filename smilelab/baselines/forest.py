"""A random forest (scikit-learn's) whose trees are kept as arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from sklearn.ensemble import RandomForestClassifier

from smilelab.baselines.machines import Floats, State

__all__ = ["Forest"]

_NAMES = ("roots", "feature", "threshold", "left", "right", "share")


class Forest:
    """Random forest; its decision value is the logit of the trees' mean share of spontaneous clips.

    Parameters
    ----------
    trees : int
    leaf : int
        Fewest training clips in a leaf.
    """

    def __init__(self, *, trees: int = 200, leaf: int = 2) -> None:
        self.trees, self.leaf = trees, leaf
        self._state: State = {}

    def fit(self, features: ArrayLike, labels: ArrayLike, *, seed: int) -> Forest:
        """Fit to clips (n, d) and labels (n,), 1 spontaneous and 0 posed."""
        x, y = np.asarray(features, np.float32), np.asarray(labels, np.int64)
        grown = RandomForestClassifier(self.trees, min_samples_leaf=self.leaf, random_state=seed, n_jobs=1).fit(x, y)
        trees = [found.tree_ for found in grown.estimators_]
        roots = np.concatenate([[0], np.cumsum([tree.node_count for tree in trees])])[:-1]
        # A leaf leads to itself, so that all clips can walk on until the last one arrives.
        ends = [tree.children_left < 0 for tree in trees]
        own = [np.arange(tree.node_count) for tree in trees]
        sides = [
            np.concatenate(
                [
                    np.where(end, at, child) + root
                    for end, at, child, root in zip(ends, own, children, roots, strict=True)
                ]
            )
            for children in ([tree.children_left for tree in trees], [tree.children_right for tree in trees])
        ]
        # scikit-learn gives shares or counts of the classes, by its version.
        shares = [tree.value[:, 0, 1] / tree.value[:, 0].sum(1) for tree in trees]
        self._state = {
            "roots": roots.astype(np.int64),
            "feature": np.maximum(np.concatenate([tree.feature for tree in trees]), 0).astype(np.int64),
            "threshold": np.concatenate([tree.threshold for tree in trees]),
            "left": sides[0].astype(np.int64),
            "right": sides[1].astype(np.int64),
            "share": np.concatenate(shares),
        }
        return self

    def share(self, features: ArrayLike) -> Floats:
        """Mean share (n,) of spontaneous clips in the leaves."""
        if not self._state:
            raise ValueError("not fitted; call fit first")
        x = np.asarray(features, np.float32)
        roots, feature, threshold, left, right, share = (np.asarray(self._state[name]) for name in _NAMES)
        at = np.tile(roots, (len(x), 1))
        while True:
            below = np.take_along_axis(x, feature[at], 1) <= threshold[at]
            following = np.where(below, left[at], right[at])
            if np.array_equal(following, at):
                return np.asarray(share[at].mean(1), np.float64)
            at = following

    def decide(self, features: ArrayLike) -> Floats:
        """Decision values (n,), positive for spontaneous."""
        return np.asarray(logit(np.clip(self.share(features), 1e-3, 1 - 1e-3)))

    def state(self, prefix: str = "") -> State:
        """What was fitted, as arrays, each name with a prefix."""
        return {prefix + name: value for name, value in self._state.items()}

    def load_state(self, state: Mapping[str, NDArray[np.generic]], prefix: str = "") -> None:
        """Take over what another forest was fitted to."""
        self._state = {name: np.asarray(state[prefix + name]) for name in _NAMES}
