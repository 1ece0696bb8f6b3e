"""Matrices that a diagnostic meets, by family: trained ones, random ones, and those that break things."""

import ml_dtypes
import numpy as np

SHAPES = ((64, 64), (64, 160), (160, 64), (128, 128), (40, 96))


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(rows, columns)))[0]


def with_spectrum(rng: np.random.Generator, rows: int, columns: int, eigenvalues: np.ndarray) -> np.ndarray:
    """A matrix whose W^T W has these eigenvalues."""
    n = min(rows, columns)
    return orthogonal(rng, rows, n) * np.sqrt(eigenvalues) @ orthogonal(rng, columns, n).T


def pareto(rng: np.random.Generator, alpha: float, count: int, x_min: float = 1.0) -> np.ndarray:
    """Values from a density that falls as x^-alpha, from x_min on."""
    return x_min * (1 - rng.random(count)) ** (-1 / (alpha - 1))


def trained(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Initial weights plus updates whose energy falls off, as training leaves them."""
    n = min(rows, columns)
    noise = rng.normal(size=(rows, columns)) * 0.02
    return noise + with_spectrum(rng, rows, columns, 0.02 * n * np.arange(1, n + 1.0) ** -rng.uniform(0.7, 2.0))


def family(name: str, rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    n = min(rows, columns)
    match name:
        case "trained":
            return trained(rng, rows, columns)
        case "gaussian":
            return rng.normal(size=(rows, columns)) * 10 ** rng.uniform(-2, 0.5)
        case "heavy-tailed":
            return rng.standard_t(rng.uniform(1.5, 4), size=(rows, columns)) * 0.02
        case "planted":
            return with_spectrum(rng, rows, columns, pareto(rng, rng.uniform(1.5, 5), n, 0.01))
        case "low-rank":
            k = int(rng.integers(10, n // 2))
            product = rng.normal(size=(rows, k)) @ rng.normal(size=(k, columns))
            return 0.1 * product + 0.005 * rng.normal(size=(rows, columns))
        case "rank-deficient":
            k = int(rng.integers(9, n - 1))
            return 0.1 * rng.normal(size=(rows, k)) @ rng.normal(size=(k, columns))
        case "tiny":
            return rng.normal(size=(int(rng.integers(8, 20)), int(rng.integers(8, 20))))
        case "tall":
            return rng.normal(size=(2000, int(rng.integers(20, 40)))) * 0.02
        case "bfloat16":
            return trained(rng, rows, columns)
    raise ValueError(name)


FAMILIES = (
    "trained",
    "gaussian",
    "heavy-tailed",
    "planted",
    "low-rank",
    "rank-deficient",
    "tiny",
    "tall",
    "bfloat16",
)


def zoo(per_shape: int = 7) -> list[tuple[str, np.ndarray]]:
    """(family, matrix): 7 x 5 shapes x 9 families = 315 that can be fitted, in float32 and bfloat16."""
    rng = np.random.default_rng(7)

    def stored(name: str, shape: tuple[int, int]) -> np.ndarray:
        return family(name, rng, *shape).astype(ml_dtypes.bfloat16 if name == "bfloat16" else np.float32)

    return [(name, stored(name, shape)) for name in FAMILIES for shape in SHAPES for _ in range(per_shape)]


def impossible() -> list[tuple[str, np.ndarray]]:
    """(status, matrix) for those without a power law."""
    rng = np.random.default_rng(8)
    holes = rng.normal(size=(32, 32))
    holes[3, 5], holes[7, 1] = np.nan, np.inf
    return [
        ("all zero", np.zeros((32, 48))),
        ("constant matrix", np.full((32, 48), 0.3)),
        ("fewer than 8 eigenvalues", rng.normal(size=(32, 5)) @ rng.normal(size=(5, 40))),
        ("fewer than 8 eigenvalues", rng.normal(size=(32, 32)) * 1e-5),
        ("smaller than 8", rng.normal(size=(1, 64))),
        ("smaller than 8", rng.normal(size=(64, 7))),
        ("equal eigenvalues", orthogonal(rng, 64, 64)),
        ("not finite", holes),
    ]
