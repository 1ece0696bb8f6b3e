"""How often does a clean model raise an anomaly, and how large a planted one is found? Simulated profiles.

    python scripts/calibrate_anomalies.py [--models 2000]

Each clean model has 7 modules over its layers, no anomaly, and both metrics of diagnostics.parquet's kind; a false
alarm is a model with at least one flagged matrix. Profiles: independent Gaussian noise; Gaussian with a trend over
depth and a U that the modules share; the same with each module's own noise and U; first-order autoregressive;
log-normal; Student's t with 5 and 3 degrees of freedom; and alphas of real fits to power-law tails.
"""

import argparse
from collections.abc import Callable

import numpy as np

from bench_shadows.diagnostics import anomalies
from bench_shadows.diagnostics.anomalies import METRICS, THRESHOLD, judge

MODULES = 7
Draw = Callable[
    [np.random.Generator, int], np.ndarray
]  # generator, layers -> transformed values [modules, layers]


def gaussian(random: np.random.Generator, layers: int) -> np.ndarray:
    """Independent noise, wide against the floor."""
    return random.normal(size=(MODULES, layers))


def shared_u(random: np.random.Generator, layers: int) -> np.ndarray:
    """A trend of each module and a U over depth that all share."""
    depth = np.linspace(-1, 1, layers)
    return random.normal(size=(MODULES, 1)) * depth + 4 * depth**4 + random.normal(size=(MODULES, layers)) * 0.5


def own_u(random: np.random.Generator, layers: int) -> np.ndarray:
    """Trend, U and width of the noise are each module's own."""
    depth, each = np.linspace(-1, 1, layers), (MODULES, 1)
    shape = random.normal(size=each) * depth + 2 * random.normal(size=each) * depth**4
    return shape + random.normal(size=(MODULES, layers)) * random.uniform(0.2, 1.0, size=each)


def autoregressive(random: np.random.Generator, layers: int) -> np.ndarray:
    """Neighbouring layers resemble each other (0.7)."""
    values = random.normal(size=(MODULES, layers))
    for layer in range(1, layers):
        values[:, layer] += 0.7 * values[:, layer - 1]
    return values


def log_normal(random: np.random.Generator, layers: int) -> np.ndarray:
    """Skewed noise, as of a ratio whose logarithm was not taken."""
    return np.exp(0.5 * random.normal(size=(MODULES, layers)))


def student_5(random: np.random.Generator, layers: int) -> np.ndarray:
    """Heavy tails."""
    return random.standard_t(5, size=(MODULES, layers))


def student_3(random: np.random.Generator, layers: int) -> np.ndarray:
    """Tails so heavy that single places do stand out."""
    return random.standard_t(3, size=(MODULES, layers))


def fitted_alpha(random: np.random.Generator, layers: int) -> np.ndarray:
    """log(alpha - 1) of tails of 10 to 300 eigenvalues, alpha 2 to 6 by module, drifting over depth."""
    alpha = random.uniform(2.5, 5, size=(MODULES, 1)) * np.linspace(1, random.uniform(0.8, 1.25), layers)
    tail = random.integers(10, 300, size=(MODULES, layers))  # x_min is fitted too: tails differ in length
    # The maximum-likelihood exponent of n tail values: (alpha - 1) n / Gamma(n, 1).
    return np.log((alpha - 1) * tail / random.gamma(tail))


PROFILES: tuple[Draw, ...] = (
    gaussian,
    shared_u,
    own_u,
    autoregressive,
    log_normal,
    student_5,
    student_3,
    fitted_alpha,
)


def false_alarms(draw: Draw, layers: int, models: int, seed: int = 0) -> float:
    """Share of clean models with a flagged matrix, both metrics of a model looked at."""
    random = np.random.default_rng(seed)
    alarms = 0
    for _ in range(models):
        alarms += any(judge(draw(random, layers), metric.floor)[0].any() for metric in METRICS)
    return alarms / models


def found(draw: Draw, layers: int, size: float, models: int, seed: int = 0) -> float:
    """Share of models in which a shift by `size` robust standard deviations is found, and nothing else."""
    random = np.random.default_rng(seed)
    hits = 0
    for _ in range(models):
        values = draw(random, layers)
        m, at = random.integers(MODULES), random.integers(layers)
        spread = anomalies.NORMAL * np.median(np.abs(values[m] - np.median(values[m])))
        values[m, at] = np.median(values[m]) + size * spread
        flagged, _ = judge(values, METRICS[0].floor)
        hits += bool(flagged[m, at] and flagged.sum() == 1)
    return hits / models


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--thresholds", type=float, nargs="*", default=[THRESHOLD])
    options = parser.parse_args()
    for threshold in options.thresholds:
        anomalies.THRESHOLD = threshold
        print(f"threshold {threshold:g}: clean models with an alarm, %; found of those planted at 10, 15, 20, %")
        for draw in PROFILES:
            cells = []
            for layers in (6, 12, 24, 36):
                alarm = 100 * false_alarms(draw, layers, options.models)
                power = [100 * found(draw, layers, size, options.models // 10) for size in (10, 15, 20)]
                cells.append(f"{layers}: {alarm:5.2f} ({', '.join(f'{p:.0f}' for p in power)})")
            print(f"  {draw.__name__:15}", "   ".join(cells), flush=True)
