"""Tables of studies of prompt repetition that were never trained, for claim C11: the paper's effects, or none.

The paper's Table 3 has scores. For the spectra its section 6 has words; what stands here for them is our choice.
alpha has a profile over depth, as wide as it takes for Table 1's 79 % to lie in [2, 6] (log alpha around log 4
with a standard deviation of 0.42, noise of `simulated_studies.SMALL_RUNS` included); the share follows from alpha.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from simulated_studies import SMALL_RUNS, Noise, evaluation_frame, frame, matrix_noise, run_of

from bench_shadows import paper
from bench_shadows.config import ConditionsConfig, Config, ModelConfig
from bench_shadows.kinds.prompts import KIND
from bench_shadows.paper import MODULES
from bench_shadows.report.common.frame import Frame
from bench_shadows.report.common.run import Run

GROUPS = ("multimodal", "documents", "instructions", "language")
V_PROJ, UP_PROJ = (MODULES.index(name) for name in (paper.V_PROJ, paper.UP_PROJ))
CENTRE, DEPTH = np.log(4.0), 0.38
RANK, MOVED = 900.0, -0.025
"""Effective rank, and its delta since the initial weights as a share of it (runs of configs/laptop.py: 2 to 3 % in
the MLP)."""
SCORE_NOISE = 2.1
"""Points between seeds, of a group's difference: 1,000 samples at an accuracy of one half, of which half come out
alike in both runs whatever the seed (1.6), and one point of each run's own."""


@dataclasses.dataclass(frozen=True)
class PromptEffects:
    """What a simulated study holds: deduplicated against baseline unless said otherwise. The defaults are none."""

    centre: float = 0.0
    """log alpha of all matrices but up_proj."""
    raised: float = 0.0
    """log alpha of the *baseline's* v_proj, at three of 32 layers (one at least)."""
    scattered: float = 0.0
    """Standard deviation over layers of a fluctuation of log alpha in v_proj, the same for all seeds."""
    up_proj: float = 0.0
    """log alpha of up_proj, at an eighth of the layers, now up, now down."""
    rank: float = 0.0
    """Standard deviation over matrices of a fluctuation of delta effective rank, in shares of delta itself."""
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Points of accuracy, by group."""


NOTHING = PromptEffects()
PROMPTS = PromptEffects(
    centre=0.02,
    raised=np.log(1.25),
    scattered=0.03,
    up_proj=0.01,
    rank=0.03,
    scores={"multimodal": 1.98, "documents": 5.0, "instructions": 2.08, "language": -1.34},
)
"""Table 3 as it is; documents are the mean of its Business-MLLM (+2.66, ten benchmarks) and Business-LLM (+10.84,
four). The share falls slightly, as the paper says: 2 % more alpha are 0.7 points. The rest is our choice."""


def simulate_prompts(
    effects: PromptEffects,
    layers: int,
    seeds: int,
    random: np.random.Generator,
    pattern: np.random.Generator | None = None,
    noise: Noise = SMALL_RUNS,
) -> Run:
    """The tables of a study of prompts with `seeds` seeds, as far as claim C11 reads them.

    What is the same for all seeds (profiles, which layers differ) is drawn from `pattern`, as in `simulate`.
    """
    pattern = pattern or random
    config = Config(
        model=ModelConfig(num_layers=layers),
        conditions=ConditionsConfig(names=KIND.conditions, seeds=tuple(range(seeds))),
    )
    shape = (len(KIND.conditions), seeds, len(MODULES), layers)
    logs = CENTRE + _alpha(effects, layers, pattern) + matrix_noise(noise.spreads["alpha"], shape, random)
    alpha = np.exp(logs)
    delta = np.broadcast_to(RANK * MOVED, shape).copy()
    delta[1] *= 1 + effects.rank * pattern.standard_normal(shape[2:])
    delta += RANK * matrix_noise(noise.spreads["effective_rank"], shape, random)
    diagnostics = {"alpha": alpha[None], "in_range": ((alpha >= 2) & (alpha <= 6)).astype(float)[None]}
    steps, same = [config.steps], {"component": "decoder"}
    return run_of(
        config,
        diagnostics=frame(steps, shape, diagnostics, KIND.conditions, **same),
        changes=frame(
            steps, shape, {"delta_effective_rank": delta[None]}, KIND.conditions, reference="init", **same
        ),
        evaluation=_evaluation(effects, config.steps, seeds, random),
    )


def _alpha(effects: PromptEffects, layers: int, random: np.random.Generator) -> np.ndarray:
    """What both conditions have and what differs, [condition, 1, module, layer]; both mean zero over depth."""
    values = np.zeros((2, 1, len(MODULES), layers))
    values += DEPTH * random.standard_normal((len(MODULES), layers))
    values[1] += effects.centre * (np.arange(len(MODULES)) != UP_PROJ)[:, None]
    raised, moved = (random.permutation(layers)[: max(1, round(share * layers))] for share in (3 / 32, 1 / 8))
    values[0, 0, V_PROJ, raised] += effects.raised
    values[1, 0, V_PROJ] += effects.scattered * random.standard_normal(layers)
    values[1, 0, UP_PROJ, moved] += effects.up_proj * random.choice([-1, 1], len(moved))
    return values


def _evaluation(effects: PromptEffects, step: int, seeds: int, random: np.random.Generator) -> Frame:
    """Accuracy by group, condition and seed; the baseline is right in half of all samples."""
    rows = []
    for seed in range(seeds):
        for group in GROUPS:
            gain = effects.scores.get(group, 0.0) + SCORE_NOISE * random.standard_normal()
            for name, value in zip(KIND.conditions, (0.5, 0.5 + gain / 100), strict=True):
                rows.append((name, seed, step, "groups", group, "exact_match", value))
    return evaluation_frame(rows)
