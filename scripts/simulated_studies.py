"""Tables of studies that were never trained: the paper's effects or none, noise between seeds as in real runs.

    python scripts/simulated_studies.py RUN-FOLDER      prints the noise of a real study with several seeds

A claim reads a few columns at a few points of the run; only those are made. Noise has four sources: a run as a
whole and every matrix by itself, each in one part that the conditions of a seed share (initial weights, order of
rows) and one of its own. A matrix's is heavy-tailed (Student's t, 5 degrees of freedom), as fits of alpha are.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import multivariate_normal, norm

from bench_shadows.config import ConditionsConfig, Config, ModelConfig
from bench_shadows.paper import MODULES, TABLE_1
from bench_shadows.report.claims.tables import matrices, upper
from bench_shadows.report.claims.verdict import NotMeasuredError
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run, read_run
from bench_shadows.report.common.tables import decoder

CONDITIONS = ("A", "B", "C", "D")
POINTS = (10 / 36, 20 / 36, 30 / 36, 1.0)
GROUPS = ("self_attn.", "mlp.")
ATTENTION = np.array([name.startswith(GROUPS[0]) for name in MODULES])
V_PROJ = MODULES.index("self_attn.v_proj")
FREEDOM = 5


@dataclasses.dataclass(frozen=True)
class Spread:
    """Standard deviations between seeds of the logarithm of a value: of a matrix alone and of a run's mean."""

    matrix_shared: float
    matrix_own: float
    run_shared: float
    run_own: float


@dataclasses.dataclass(frozen=True)
class Noise:
    """How seeds differ. `spreads`: column -> (attention, MLP)."""

    spreads: Mapping[str, tuple[Spread, Spread]]
    fixed: float
    """Share of the variance behind `in_range` that belongs to the matrix, whatever the seed (probit scale)."""
    lasting: float
    """Share that belongs to the matrix of one run at all points; the rest changes from point to point."""
    share_run: float
    """Standard deviation of a run as a whole behind `in_range` (probit scale)."""
    evaluation: Mapping[str, float]
    """Standard deviation over seeds of D against A, by part of claim C9."""


# As `python scripts/simulated_studies.py RUN-FOLDER` prints it for 4 conditions x 5 seeds of 6 layers of 64
# (configs/laptop.py, hidden_size=64, intermediate_size=256, vocab_size=512, seq_len=64, samples=4608), with two
# changes. Fits of small matrices have few spikes and are noisy: alpha's own spread in attention was 0.30 there and
# 0.19 at the laptop's width of 128, so that those of alpha and spikes are multiplied by 0.62. Rare-word pairs and
# tokens were few: their deviations, 8.6 points of 59 pairs and 0.26 nats of 6,048 tokens, are brought to what
# configs/colab.py reads, 2,000 and 196,608, by the root of the count.
SMALL_RUNS = Noise(
    spreads={
        "alpha": (Spread(0.086, 0.187, 0.0, 0.0), Spread(0.036, 0.069, 0.0, 0.0)),
        "spikes": (Spread(0.098, 0.229, 0.0, 0.0), Spread(0.058, 0.149, 0.0, 0.0)),
        "effective_rank": (Spread(0.0053, 0.0030, 0.001, 0.0), Spread(0.0013, 0.0017, 0.0006, 0.0)),
        "change_variance": (Spread(0.061, 0.100, 0.0, 0.042), Spread(0.027, 0.045, 0.022, 0.042)),
    },
    fixed=0.142,
    lasting=0.527,
    share_run=0.0,
    evaluation={"score": 0.13, "canonical": 0.0062, "domains": 0.0059, "rare": 1.48, "tail": 0.045},
)


def spread(values: np.ndarray) -> Spread:
    """The four sources of noise in the logarithms of a value [condition, seed, module, layer], by moments."""
    logs = np.log(values).reshape(*values.shape[:2], -1)
    logs = logs[..., np.isfinite(logs).all(axis=(0, 1))]
    conditions, seeds, count = logs.shape
    rest = (logs - logs.mean(axis=1, keepdims=True)) * np.sqrt(seeds / (seeds - 1))
    runs = rest.mean(axis=2)

    def moments(residuals: np.ndarray) -> tuple[float, float]:
        """(variance, covariance between conditions of the same seed)."""
        variance = float((residuals**2).mean())
        total = float((residuals.sum(axis=0) ** 2).mean()) / conditions
        return variance, (total - variance) / (conditions - 1)

    shares = []
    for alone, together in zip(moments(rest), moments(runs), strict=True):
        run = max(0.0, (together * count - alone) / (count - 1))
        shares.append((max(0.0, alone - run), run))
    (matrix, run), (matrix_shared, run_shared) = shares
    parts = (matrix_shared, max(0.0, matrix - matrix_shared), run_shared, max(0.0, run - run_shared))
    return Spread(*(round(float(np.sqrt(part)), 4) for part in parts))


def in_range_noise(run: Run) -> tuple[float, float, float]:
    """(`fixed`, `lasting`, `share_run`), from how often a matrix changes sides."""
    inside = np.stack([matrices(run, decoder(run), "in_range", CONDITIONS, point).values for point in POINTS])
    inside = inside.reshape(*inside.shape[:3], -1)  # point, condition, seed, matrix
    inside = inside[..., np.isfinite(inside).all(axis=(0, 1, 2))]
    share, within = inside.mean(axis=(1, 2, 3)), inside.var(axis=2, ddof=1).mean(axis=(1, 2))
    fixed = np.mean([_correlation(*found) for found in zip(share, within, strict=True)])
    pairs = [
        (inside[[one, one + 1]].mean(), inside[[one, one + 1]].var(axis=0, ddof=1).mean())
        for one in range(len(POINTS) - 1)
    ]
    lasting = max(0.0, float(np.mean([_correlation(*found) for found in pairs])) - float(fixed))
    between = inside.mean(axis=3).var(axis=2, ddof=1).mean(axis=1)
    excess = np.mean((between - within / inside.shape[3]) / norm.pdf(norm.ppf(share)) ** 2)
    return round(float(fixed), 3), round(lasting, 3), round(float(np.sqrt(max(0.0, excess))), 3)


def _correlation(share: float, within: float) -> float:
    """Correlation of the normal variables behind ones and zeros: `share` of ones, pairs differ with 2 `within`."""
    place = norm.ppf(share)

    def differ(correlation: float) -> float:
        both = multivariate_normal([0, 0], [[1, correlation], [correlation, 1]]).cdf([place, place])
        return float(share - both) - within

    if differ(0) <= 0:
        return 0.0
    return float(brentq(differ, 0, 0.999)) if differ(0.999) < 0 else 0.999


def measure(run: Run) -> Noise:
    """The noise of a real study; C9's values are missing where a suite was not evaluated."""
    spreads = {}
    changes = run.changes.where(reference="init")
    for column in SMALL_RUNS.spreads:
        frame, table = (changes, "changes") if column == "change_variance" else (decoder(run), "diagnostics")
        found = matrices(run, frame, column, CONDITIONS, 1.0, table)
        spreads[column] = tuple(spread(found.of(group).values) for group in GROUPS)
    return Noise(spreads, *in_range_noise(run), _evaluation_noise(run))  # type: ignore[arg-type]


def _evaluation_noise(run: Run) -> dict[str, float]:
    from bench_shadows.report.claims.evaluation import shadow

    try:
        parts = shadow(run).parts
    except NotMeasuredError as reason:
        print(reason, file=sys.stderr)
        return {}
    deviations = [float(np.std(list(part.values.values()), ddof=1)) for part in parts]
    return {name: round(value, 4) for name, value in zip(SMALL_RUNS.evaluation, deviations, strict=True)}


@dataclasses.dataclass(frozen=True)
class Effects:
    """What a simulated study holds, as logarithms of ratios unless said otherwise. The defaults are none."""

    shares: Mapping[str, Sequence[float]] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(CONDITIONS, TABLE_1["A"][0][1:])
    )
    """Percent in [2, 6] at the four points."""
    raised: float = 0.0
    """D's alpha in the upper layers' v_proj."""
    irregular: Mapping[str, tuple[float, float, float]] = dataclasses.field(default_factory=dict)
    """Deviation of alpha that fluctuates over layers, the same for all seeds: of v_proj, other attention, MLP."""
    trend: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """alpha of a condition, last layer against first."""
    u_shape: float = 0.0
    """Change variance of the ends of the depth against its middle."""
    amplified: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Change variance of a condition."""
    rank: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    """Fluctuation of effective rank, in standard deviations between seeds: (upper layers, others)."""
    uneven: float = 1.0
    """Factor on the spread of D's spikes over the upper layers."""
    evaluation: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """D against A, by part of claim C9: percent, logarithm, logarithm, points, nats."""


NONE = Effects()
PAPER = Effects(
    shares={name: TABLE_1[name][0][1:] for name in CONDITIONS},
    raised=np.log(1.25),
    irregular={"C": (0.10, 0.05, 0.02), "D": (0.15, 0.08, 0.02)},
    trend={"B": 0.6},
    u_shape=np.log(1.5),
    amplified={"B": np.log(2.0)},
    rank={"C": (0.5, 0.5), "D": (4.0, 1.5)},
    uneven=1.5,
    evaluation={"score": 5.0, "canonical": -0.03, "domains": 0.03, "rare": -3.0, "tail": 0.1},
)
"""Table 1 as it is. For the rest the paper's text has words, not numbers: our choice of what its words mean."""


def simulate(
    effects: Effects,
    layers: int,
    seeds: int,
    random: np.random.Generator,
    pattern: np.random.Generator | None = None,
    noise: Noise = SMALL_RUNS,
) -> Run:
    """The tables of a study with `seeds` seeds of four conditions, as far as the claims read them.

    What is random and the same for all seeds (which layers fluctuate, which matrices lie near a border) is drawn
    from `pattern`: two studies with equal patterns have the same true values.
    """
    pattern = pattern or random
    config = Config(model=ModelConfig(num_layers=layers), conditions=ConditionsConfig(seeds=tuple(range(seeds))))
    shape = (len(CONDITIONS), seeds, len(MODULES), layers)
    last = {
        "alpha": np.log(4.0) + _alpha_effects(effects, layers, pattern),
        "effective_rank": np.log(900.0) + _rank_effects(effects, layers, noise, pattern),
        "spikes": np.log(200.0) + np.zeros((*shape[:1], 1, *shape[2:])),
    }
    last = {name: mean + matrix_noise(noise.spreads[name], shape, random) for name, mean in last.items()}
    deep = last["spikes"][3][..., upper(layers)]
    centre = deep.mean(axis=2, keepdims=True)
    last["spikes"][3][..., upper(layers)] = centre + effects.uneven * (deep - centre)
    depth = np.linspace(-1, 1, layers)
    change = np.log(1e-3) + effects.u_shape * depth**2 + np.zeros((len(CONDITIONS), 1, 1, 1))
    for name, amplified in effects.amplified.items():
        change[CONDITIONS.index(name)] += amplified
    change = change + matrix_noise(noise.spreads["change_variance"], shape, random)
    inside = _in_range(effects, shape, noise, random, pattern)
    steps = [config.analysed_steps[index] for index in (1, 2, 3, 4)]
    columns = {name: np.full((len(steps), *shape), np.nan) for name in last} | {"in_range": inside}
    for name, values in last.items():
        columns[name][-1] = np.exp(values)
    return run_of(
        config,
        diagnostics=frame(steps, shape, columns, CONDITIONS, component="decoder"),
        changes=frame(steps[-1:], shape, {"change_variance": np.exp(change)[None]}, CONDITIONS, reference="init"),
        evaluation=_evaluation(effects, steps, seeds, noise, random),
    )


def run_of(config: Config, **tables: Frame) -> Run:
    """A run that was never trained: these tables, and nothing else of a run folder."""
    nothing: dict[str, Any] = {field.name: {} for field in dataclasses.fields(Run)}
    return Run(**nothing | {"name": "simulated", "config": config, "monitor": Frame({}), "notes": ()} | tables)


def _alpha_effects(effects: Effects, layers: int, random: np.random.Generator) -> np.ndarray:
    """[condition, 1, module, layer]; C's and D's fluctuations leave the mean of the upper layers where it is."""
    moved = np.zeros((len(CONDITIONS), 1, len(MODULES), layers))
    for name, (v_proj, attention, mlp) in effects.irregular.items():
        sizes = np.where(ATTENTION, attention, mlp)
        sizes[V_PROJ] = v_proj
        layer = sizes[:, None] * random.standard_normal((len(MODULES), layers))
        layer[:, upper(layers)] -= layer[:, upper(layers)].mean(axis=1, keepdims=True)
        moved[CONDITIONS.index(name), 0] += layer
    for name, trend in effects.trend.items():
        moved[CONDITIONS.index(name), 0] += trend * np.linspace(-0.5, 0.5, layers)
    moved[3, 0, V_PROJ, upper(layers)] += effects.raised
    return moved


def _rank_effects(effects: Effects, layers: int, noise: Noise, random: np.random.Generator) -> np.ndarray:
    moved = np.zeros((len(CONDITIONS), 1, len(MODULES), layers))
    unit = noise.spreads["effective_rank"][0].matrix_own
    for name, (deep, others) in effects.rank.items():
        sizes = np.full(layers, others)
        sizes[upper(layers)] = deep
        moved[CONDITIONS.index(name), 0] = unit * sizes * random.standard_normal((len(MODULES), layers))
    return moved


def matrix_noise(
    spreads: tuple[Spread, Spread], shape: tuple[int, ...], random: np.random.Generator
) -> np.ndarray:
    """[condition, seed, module, layer]; that of a matrix with heavy tails."""
    conditions, seeds, modules, layers = shape

    def of(name: str) -> np.ndarray:
        attention, mlp = (getattr(found, name) for found in spreads)
        return np.where(ATTENTION, attention, mlp)[:, None]

    def tails(*size: int) -> np.ndarray:
        return random.standard_t(FREEDOM, size) * np.sqrt((FREEDOM - 2) / FREEDOM)

    return (
        of("matrix_shared") * tails(1, seeds, modules, layers)
        + of("matrix_own") * tails(conditions, seeds, modules, layers)
        + of("run_shared") * random.standard_normal((1, seeds, 1, 1))
        + of("run_own") * random.standard_normal((conditions, seeds, 1, 1))
    )


def _in_range(
    effects: Effects,
    shape: tuple[int, ...],
    noise: Noise,
    random: np.random.Generator,
    pattern: np.random.Generator,
) -> np.ndarray:
    """[point, condition, seed, module, layer], 0 or 1: a normal variable below the expected share's quantile."""
    conditions, seeds, modules, layers = shape
    share = np.array([effects.shares[name] for name in CONDITIONS]).T[:, :, None, None, None] / 100
    size = (len(POINTS), conditions, seeds, modules, layers)
    hidden = np.sqrt(noise.fixed) * pattern.standard_normal((modules, layers))
    hidden = hidden + np.sqrt(noise.lasting) * random.standard_normal(size[1:])
    hidden = hidden + np.sqrt(1 - noise.fixed - noise.lasting) * random.standard_normal(size)
    hidden += noise.share_run * random.standard_normal(size[:3])[..., None, None]
    return (hidden < norm.ppf(share) * np.sqrt(1 + noise.share_run**2)).astype(float)


def frame(
    steps: Sequence[int],
    shape: tuple[int, ...],
    columns: Mapping[str, np.ndarray],
    conditions: Sequence[str],
    **same: str,
) -> Frame:
    """Values [point, condition, seed, module, layer] as rows, with a column for each index."""
    index = [part.ravel() for part in np.indices((len(steps), *shape))]
    count = len(index[0])
    keys = {
        "step": np.array(steps, float)[index[0]],
        "condition": np.array(conditions, object)[index[1]],
        "seed": index[2].astype(float),
        "module": np.array(MODULES, object)[index[3]],
        "layer": index[4].astype(float),
    }
    constant = {name: np.full(count, value, object) for name, value in same.items()}
    return Frame(keys | constant | {name: values.ravel() for name, values in columns.items()})


def _evaluation(
    effects: Effects, steps: Sequence[int], seeds: int, noise: Noise, random: np.random.Generator
) -> Frame:
    """Rows of A and D at the first and the last point."""
    rows = []
    for step in (steps[0], steps[-1]):
        for seed in range(seeds):
            moved = {
                name: effects.evaluation.get(name, 0.0) + size * random.standard_normal()
                for name, size in noise.evaluation.items()
            }
            rows += [
                ("D", seed, step, "shadow", "likelihood", "score", moved["score"] / 100),
                ("A", seed, step, "canonical", "rewritten", "bits_per_byte", 2.0),
                ("D", seed, step, "canonical", "rewritten", "bits_per_byte", 2 * np.exp(moved["canonical"])),
                ("A", seed, step, "likelihood", "all", "bits_per_byte", 2.2),
                ("D", seed, step, "likelihood", "all", "bits_per_byte", 2.2 * np.exp(moved["domains"])),
                ("A", seed, step, "rare_words", "all", "accuracy", 0.7),
                ("D", seed, step, "rare_words", "all", "accuracy", 0.7 + moved["rare"] / 100),
            ]
            for rank, value in ((1, 0.0), (10, moved["tail"])):
                task = f"decile-{rank}"
                rows.append(("A", seed, step, "frequency", task, "loss_nats_per_token", 3.0))
                rows.append(("D", seed, step, "frequency", task, "loss_nats_per_token", 3.0 + value))
    return evaluation_frame(rows)


def evaluation_frame(rows: Sequence[tuple[str | float, ...]]) -> Frame:
    """Rows of (condition, seed, step, suite, task, metric, value) as a table."""
    names = ("condition", "seed", "step", "suite", "task", "metric", "value")
    texts = ("condition", "suite", "task", "metric")
    return Frame(
        {
            name: np.array(column, object if name in texts else float)
            for name, column in zip(names, zip(*rows, strict=True), strict=True)
        }
    )


if __name__ == "__main__":
    print(measure(read_run(Path(sys.argv[1]))))
