"""Support vector regression of labels on features, kept as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

__all__ = ["Regression"]

Array = NDArray[np.float64]

_INNER_FOLDS = 3


class Regression(NamedTuple):
    """A fitted epsilon-SVR with RBF kernel on standardised features.

    Attributes
    ----------
    mean, scale : (d,) arrays
        Taken from and divided out of the features.
    support : (k, d) array
        Support vectors, standardised.
    dual : (k,) array
        Their coefficients.
    intercept, gamma, cost : () arrays
        ``cost`` is C.
    """

    mean: Array
    scale: Array
    support: Array
    dual: Array
    intercept: Array
    gamma: Array
    cost: Array

    @classmethod
    def fit(
        cls, features: Array, targets: NDArray[np.int64], subjects: NDArray[np.str_], costs: Sequence[float]
    ) -> Regression:
        """Fit on the given samples alone.

        Parameters
        ----------
        features : (n, d) array
        targets : int (n,)
            1 or 0.
        subjects : str (n,)
        costs : sequence of float
            Candidates for C. Of several the one is taken that has the least mean squared error over at most three inner
            folds, none with a subject on both sides. Epsilon (0.1) and gamma ("scale") are scikit-learn's defaults.

        Returns
        -------
        Regression

        Raises
        ------
        ValueError
            If there are several costs and only one subject.
        """
        pipeline = make_pipeline(StandardScaler(), SVR(kernel="rbf"))
        if len(costs) == 1:
            with _numpy_state_kept():
                fitted = pipeline.set_params(svr__C=costs[0]).fit(features, targets)
        else:
            folds = min(_INNER_FOLDS, len(np.unique(subjects)))
            if folds < 2:
                raise ValueError(
                    f"all training samples are of '{subjects[0]}', which leaves no subject to choose C by; "
                    "give several subjects or one cost"
                )
            search = GridSearchCV(
                pipeline, {"svr__C": list(costs)}, scoring="neg_mean_squared_error", cv=GroupKFold(folds)
            )
            with _numpy_state_kept():
                fitted = search.fit(features, targets, groups=subjects).best_estimator_
        scaler, svr = fitted[0], fitted[1]
        found = (
            scaler.mean_,
            scaler.scale_,
            svr.support_vectors_,
            svr.dual_coef_[0],
            svr.intercept_[0],
            svr._gamma,
            svr.C,
        )
        return cls(*(np.array(value, np.float64) for value in found))

    def predict(self, features: Array) -> Array:
        """Regressed label (n,) of features (n, d), clipped to [0, 1]."""
        standard = (features - self.mean) / self.scale
        kernel = np.exp(-self.gamma * cdist(standard, self.support, "sqeuclidean"))
        return np.asarray(np.clip(kernel @ self.dual + self.intercept, 0, 1))


@contextmanager
def _numpy_state_kept() -> Iterator[None]:
    """Undo what scikit-learn's SVR draws from numpy's global generator: a seed that this regression makes no use of."""
    before = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
