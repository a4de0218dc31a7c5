"""Print published against drawn smile kinematics; every drawn number is measured on the sampled curves.

Run with ``python tests/bench_kinematics.py [clips per class]``.
"""

import sys

import numpy as np
from scipy.signal import detrend, find_peaks
from scipy.stats import rankdata

from smilelab.simulator.dynamics import draw_clip, draw_subject

FPS = 50.0
# quantity: (spontaneous mean, sd or None, quantiles 10/50/90 or None), (posed ...), AUC or None
PUBLISHED = {
    "length": ((4.93, 2.11, None), (3.08, 0.90, None), 0.80),
    "onset": ((0.90, 0.56, (0.44, 0.76, 1.48)), (0.62, 0.23, (0.42, 0.56, 0.86)), 0.70),
    "apex": ((2.90, 1.95, (0.74, 2.50, 5.63)), (1.65, 0.79, (0.84, 1.52, 2.64)), 0.70),
    "offset": ((0.96, 0.76, (0.54, 0.70, 1.53)), (0.70, 0.25, (0.54, 0.62, 1.00)), 0.60),
    "rise": ((1.17, 0.98, (0.42, 0.84, 2.33)), (0.53, 0.34, (0.28, 0.42, 0.92)), 0.81),
    "amplitude": ((2.04, 0.74, None), (2.40, 0.79, None), 0.36),
    "speed_up": ((5.5, 2.6, None), (9.0, 3.6, None), 0.21),
    "speed_down": ((5.0, 2.6, None), (7.7, 4.0, None), None),
    "amplitude_au6": ((1.80, 0.68, None), (1.96, 0.68, None), 0.43),
    "au6_over_1": ((0.888, None, None), (0.919, None, None), None),
    "correlation_au6": ((0.94, None, None), (0.96, None, None), None),
    "lag_au6": ((0.028, 0.107, None), (0.019, 0.051, None), None),
    "one_apex": ((0.81, None, None), (0.94, None, None), None),
    "two_apices": ((0.14, None, None), (0.06, None, None), None),
    "three_apices": ((0.03, None, None), (0.00, None, None), None),
    "four_apices": ((0.01, None, None), (0.00, None, None), None),
    "wobble": ((0.157, 0.113, None), (0.091, 0.070, None), 0.70),
    "au25_over_1": ((0.82, None, None), (0.80, None, None), None),
    "blinks": ((1.24, None, None), (1.10, None, None), None),
    "lead_in": ((0.40, 0.23, None), (0.28, 0.15, None), None),
    "residual": ((0.14, None, None), (0.06, None, None), None),
    "asymmetry": ((0.05, 0.04, None), (0.08, 0.06, None), None),
}
ICC = {"amplitude": (0.37, 0.59), "log length": (0.22, 0.52), "log speed": (0.29, 0.58)}


def measure(times: np.ndarray, units: np.ndarray) -> dict[str, float]:
    """Measure one clip on its sampled action units, (T, 7), without its drawn parameters.

    The onset is the steadily rising stretch in which AU12 first passes half its amplitude, the offset the falling
    one in which it last does, the apex what lies between.
    """
    au12, au6 = units[:, 2:4].mean(1), units[:, 0:2].mean(1)
    step = times[1] - times[0]
    amplitude = au12.max() - au12[0]
    speed = np.diff(au12) / step
    passed = au12 - au12[0]

    def stretch(sign: int, frame: int) -> tuple[int, int]:
        steady = sign * speed > 0.02
        start = stop = frame
        while start > 0 and steady[start - 1]:
            start -= 1
        while stop < len(steady) and steady[stop]:
            stop += 1
        return start, stop

    high = np.flatnonzero(passed >= 0.5 * amplitude)
    (onset, apex), (offset, end) = stretch(1, high[0]), stretch(-1, high[-1])
    first = {share: int(np.argmax(passed >= share * amplitude)) for share in (0.1, 0.9)}
    held = au12[apex : offset + 1]
    lags = np.arange(-15, 16)
    n = len(au12)
    pairs = [(au12[max(0, -lag) : n - max(0, lag)], au6[max(0, lag) : n - max(0, -lag)]) for lag in lags]
    similar = [np.corrcoef(*pair)[0, 1] for pair in pairs]
    peaks = len(find_peaks(np.r_[0, au12, 0], prominence=0.3 * amplitude)[0])
    lid = units[:, 6]
    sides = units[int(np.argmax(au12)), 2:4]
    return {
        "length": len(times) * step,
        "onset": (apex - onset) * step,
        "apex": max(offset - apex, 0) * step,
        "offset": (end - offset) * step,
        "rise": (first[0.9] - first[0.1]) * step,
        "amplitude": amplitude,
        "speed_up": speed.max(),
        "speed_down": -speed.min(),
        "amplitude_au6": au6.max() - au6[0],
        "au6_over_1": float(au6.max() - au6[0] > 1),
        "correlation_au6": np.corrcoef(au12, au6)[0, 1],
        "lag_au6": lags[int(np.argmax(similar))] * step,
        "one_apex": float(peaks == 1),
        "two_apices": float(peaks == 2),
        "three_apices": float(peaks == 3),
        "four_apices": float(peaks >= 4),
        "wobble": detrend(held).std() if len(held) > 5 else np.nan,
        "au25_over_1": float(np.ptp(units[:, 4]) > 1),
        "blinks": len(find_peaks(np.r_[0, lid, 0], height=2.5, plateau_size=(1, None))[0]),
        "lead_in": first[0.1] * step,
        "residual": passed[-1] / amplitude,
        "asymmetry": abs(sides[0] - sides[1]) / sides.mean(),
    }


def draw(label: int, subjects: int, clips: int, seed: int, **options: object) -> dict[str, np.ndarray]:
    """Measure `clips` clips of each of `subjects` subjects; every value is an array (subjects, clips)."""
    rows = []
    for who in range(subjects):
        rng = np.random.default_rng([seed, who])
        subject = draw_subject(rng, age=rng.uniform(8, 76), sex=("female", "male")[who % 2])
        for clip in range(clips):
            drawn = draw_clip(subject, label, FPS, np.random.default_rng([seed, who, label, clip]), **options)
            rows.append(measure(drawn.times, drawn.action_units.astype(float)))
    return {name: np.reshape([row[name] for row in rows], (subjects, clips)) for name in rows[0]}


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the probability that a value of the first set is larger than one of the second."""
    positive, negative = (x[np.isfinite(x)] for x in (positive.ravel(), negative.ravel()))
    ranks = rankdata(np.concatenate([positive, negative]))[: positive.size]
    return float((ranks.sum() - positive.size * (positive.size + 1) / 2) / (positive.size * negative.size))


def intraclass(values: np.ndarray) -> float:
    """Return the one-way random-effects intraclass correlation ICC(1) of an array (subjects, clips)."""
    k = values.shape[1]
    between = k * values.mean(1).var(ddof=1)
    within = values.var(axis=1, ddof=1).mean()
    return float((between - within) / (between + (k - 1) * within))


def main(per_class: int = 2000) -> None:
    """Print the table."""
    drawn = {label: draw(label, per_class // 4, 4, seed=1) for label in (1, 0)}

    def cell(mean: float, sd: float | None, quantiles: object) -> str:
        text = f"{mean:.3f}" + (f" +- {sd:.3f}" if sd is not None else "")
        return text + (" (" + "/".join(f"{q:.2f}" for q in quantiles) + ")" if quantiles is not None else "")

    print(f"| quantity | S published | S drawn | P published | P drawn | AUC | drawn |\n{'|---' * 7}|")
    for name, (*published, area) in PUBLISHED.items():
        cells = []
        for (mean, sd, quantiles), label in zip(published, (1, 0), strict=True):
            x = drawn[label][name].ravel()
            x = x[np.isfinite(x)]
            tenths = np.quantile(x, (0.1, 0.5, 0.9)) if quantiles else None
            cells += [cell(mean, sd, quantiles), cell(x.mean(), x.std() if sd is not None else None, tenths)]
        measured = auc(drawn[1][name], drawn[0][name])
        print(f"| {name} | {' | '.join(cells)} | {'' if area is None else f'{area:.2f}'} | {measured:.2f} |")
    for name, published in ICC.items():
        key = {"amplitude": "amplitude", "log length": "length", "log speed": "speed_up"}[name]
        values = [drawn[label][key] for label in (1, 0)]
        s, p = (intraclass(np.log(v) if name.startswith("log") else v) for v in values)
        print(f"| ICC {name} | {published[0]:.2f} | {s:.2f} | {published[1]:.2f} | {p:.2f} | | |")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
