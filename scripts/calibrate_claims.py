"""How often do the claims say what is not so, and how many seeds do they need? Simulated studies.

    python scripts/calibrate_claims.py                          the registered numbers of seeds: rates of all kinds
    python scripts/calibrate_claims.py --seeds 3 4 5 6 8        power, were this the number of seeds of every claim

    python scripts/calibrate_claims.py --claims C11             ... of the study of prompts alone

Tables of `simulated_studies.py` (C1 to C9) and `simulated_prompt_studies.py` (C11) at the paper's depth (224
matrices) unless --layers says otherwise, judged as the report judges a run, Holm's correction included. The
smallest number of seeds that stands in a claim's docstring is the first at which four of five studies with the
paper's effects reproduce it while all claims of such a study are tested.
"""

import argparse
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.optimize import bisect
from simulated_prompt_studies import NOTHING, PROMPTS, simulate_prompts
from simulated_studies import NONE, PAPER, simulate

from bench_shadows.progress import Progress
from bench_shadows.report.claims.judge import CLAIMS, PROMPT_CLAIMS, judge
from bench_shadows.report.claims.verdict import (
    LEVEL,
    SEEDS_FOR_TEST,
    Claim,
    Evidence,
    Part,
    Registration,
    TestedPart,
    register,
    t_test,
)
from bench_shadows.report.common.run import Run

PAPER_LAYERS = 32


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of study: its claims, how one is simulated, and with which effects."""

    claims: tuple[Callable[[Run], Evidence], ...]
    simulate: Callable[..., Run]
    """(effects, layers, seeds, random, pattern=None) -> tables."""
    paper: Any
    none: Any

    @property
    def registered(self) -> dict[str, Registration]:
        """The claims' registrations by their number."""
        return {registration.id: registration for registration in map(register, self.claims)}

    def studies(self, effects: Any, layers: int, seeds: int, count: int) -> Iterator[list[Claim]]:
        """`count` studies as the report judges them."""
        random = np.random.default_rng(seeds)
        for _ in range(count):
            yield judge(self.simulate(effects, layers, seeds, random))


DOCUMENTS = Kind(CLAIMS, simulate, PAPER, NONE)
SAMPLES = Kind(PROMPT_CLAIMS, simulate_prompts, PROMPTS, NOTHING)
KINDS = (DOCUMENTS, SAMPLES)


def kind_of(claim: str) -> Kind:
    """The kind of study that a claim is about."""
    return next(kind for kind in KINDS if claim in kind.registered)


def rate(studies: Sequence[Sequence[Claim]], claim: str, verdict: str) -> float:
    """Share of studies that give a claim this verdict."""
    return float(np.mean([one.verdict == verdict for study in studies for one in study if one.id == claim]))


def at_the_threshold(claim: str, layers: int, seeds: int, count: int) -> tuple[float, float]:
    """(share of studies called true, called false) of a claim, uncorrected, where it is hardest.

    One part lies exactly at an end of its claimed region, where true becomes false, the others where the paper's
    effects put them; all studies have the same true values (one pattern). The largest rates over parts and ends.
    """
    studies = _studies(claim, kind_of(claim).paper, layers, seeds, count)
    moved: list[Sequence[Part]]
    rates = [(0.0, 0.0)]
    for place, part in enumerate(studies[0]):
        for end in filter(math.isfinite, (part.low, part.high)):
            if family := CURVED.get((claim, place)):
                moved = _studies(
                    claim, _effects_at(claim, place, end, *family, layers, seeds), layers, seeds, count
                )
            else:
                centre = np.mean([value for parts in studies for value in parts[place].values.values()])
                moved = [_shift(parts, place, float(end - centre)) for parts in studies]
            tested = [[t_test(one) for one in parts] for parts in moved]
            rates.append((_share(tested, _p), _share(tested, _p_against)))
    return max(yes for yes, _ in rates), max(no for _, no in rates)


def _documents(**of: Callable[[float], Any]) -> Callable[[float], Any]:
    return lambda size: dataclasses.replace(PAPER, **{name: value(size) for name, value in of.items()})


def _prompts(name: str, **others: Any) -> Callable[[float], Any]:
    return lambda size: dataclasses.replace(PROMPTS, **others | {name: size})


# Parts whose values are no plain means: to shift them would keep the shape of their distribution, which changes on
# the way to the threshold. Their effect is varied instead: (claim, part) -> (effects of a size, sizes around it).
CURVED: dict[tuple[str, int], tuple[Callable[[float], Any], float, float]] = {
    ("C5", 1): (_documents(amplified=lambda size: {**PAPER.amplified, "C": size}), 0.02, 0.4),
    ("C5", 2): (_documents(amplified=lambda size: {**PAPER.amplified, "D": size}), 0.02, 0.4),
    ("C6", 0): (_documents(rank=lambda size: {**PAPER.rank, "D": (4 * size, 1.5 * size)}), 0.05, 2.0),
    ("C6", 1): (_documents(rank=lambda size: {**PAPER.rank, "D": (size, 1.5)}), 0.1, 8.0),
    ("C7", 0): (_documents(trend=lambda size: {"B": size}), 0.02, 1.5),
    ("C7", 1): (_documents(trend=lambda size: {**PAPER.trend, "C": size, "D": size}), 0.0, 1.5),
    ("C11", 2): (_prompts("scattered"), 0.0, 0.5),
    ("C11", 3): (_prompts("raised", scattered=0.0), 0.0, 0.0),
    ("C11", 4): (_prompts("raised", scattered=0.0, up_proj=0.1), 0.0, 0.5),
    ("C11", 5): (_prompts("up_proj"), 0.0, 0.5),
    ("C11", 6): (_prompts("rank"), 0.0, 0.5),
}


def _effects_at(
    claim: str,
    place: int,
    end: float,
    effects: Callable[[float], Any],
    low: float,
    high: float,
    layers: int,
    seeds: int,
) -> Any:
    """The effects of a size at which a part's mean over many seeds is `end`; of the only size that is given."""
    if low == high:
        return effects(low)

    def above(size: float) -> float:
        (parts,) = _studies(claim, effects(size), layers, max(100, 20 * seeds), count=1)
        return float(np.mean(list(parts[place].values.values()))) - end

    return effects(float(bisect(above, low, high, xtol=0.001)))


def _studies(claim: str, effects: Any, layers: int, seeds: int, count: int) -> list[Sequence[Part]]:
    """The parts of a claim in `count` studies with one pattern."""
    random, kind = np.random.default_rng(seeds), kind_of(claim)
    function = kind.claims[list(kind.registered).index(claim)]
    return [
        function(kind.simulate(effects, layers, seeds, random, np.random.default_rng(0))).parts
        for _ in range(count)
    ]


def _shift(parts: Sequence[Part], place: int, by: float) -> list[Part]:
    values = {seed: value + by for seed, value in parts[place].values.items()}
    return [
        dataclasses.replace(part, values=values) if index == place else part for index, part in enumerate(parts)
    ]


def _p(parts: Sequence[TestedPart]) -> float:
    return max(1.0 if part.p is None else part.p for part in parts)


def _p_against(parts: Sequence[TestedPart]) -> float:
    return len(parts) * min(1.0 if part.p_against is None else part.p_against for part in parts)


def _share(studies: Sequence[Sequence[TestedPart]], p: Callable[[Sequence[TestedPart]], float]) -> float:
    return float(np.mean([p(parts) <= LEVEL for parts in studies]))


def registered_rates(claims: Sequence[str], layers: int, count: int) -> None:
    """Prints how often each verdict falls, for every claim at its registered number of seeds and at the fewest."""
    print(
        "claim  seeds  reproduced if true  called false if true  reproduced if nothing differs  at the threshold:"
        " called true, called false"
    )
    for kind in KINDS:
        chosen = {name: one for name, one in kind.registered.items() if name in claims}
        numbers = sorted({number for one in chosen.values() for number in (SEEDS_FOR_TEST, one.min_seeds)})
        with Progress("simulate", len(numbers) * count, "studies") as progress:
            for seeds in numbers:
                true, none = [], []
                both = (kind.studies(effects, layers, seeds, count) for effects in (kind.paper, kind.none))
                for one, other in zip(*both, strict=True):
                    true.append(one)
                    none.append(other)
                    progress.add()
                for claim, registration in chosen.items():
                    if seeds in (SEEDS_FOR_TEST, registration.min_seeds):
                        yes, no = at_the_threshold(claim, layers, seeds, count)
                        print(
                            f"{claim:5}  {seeds:5}  {rate(true, claim, 'reproduced'):18.1%}"
                            f"  {rate(true, claim, 'not reproduced'):20.1%}"
                            f"  {rate(none, claim, 'reproduced'):29.1%}  {yes:28.1%}, {no:12.1%}"
                        )


def powers(claims: Sequence[str], layers: int, count: int, numbers: Sequence[int]) -> None:
    """Prints how often each claim is reproduced where the paper's effects are there, for numbers of seeds."""
    print("seeds  " + "  ".join(f"{claim:>6}" for claim in claims))
    kinds = {kind_of(claim) for claim in claims}
    for seeds in numbers:
        studies = {kind: list(kind.studies(kind.paper, layers, seeds, count)) for kind in kinds}
        shares = (rate(studies[kind_of(claim)], claim, "reproduced") for claim in claims)
        print(f"{seeds:5}  " + "  ".join(f"{share:6.1%}" for share in shares))


def main() -> None:
    """The tables on standard output."""
    every = [name for kind in KINDS for name in kind.registered]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--layers", type=int, default=PAPER_LAYERS)
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    parser.add_argument("--claims", nargs="*", choices=every, default=every)
    arguments = parser.parse_args()
    if arguments.seeds:
        powers(arguments.claims, arguments.layers, arguments.studies, arguments.seeds)
    else:
        registered_rates(arguments.claims, arguments.layers, arguments.studies)


if __name__ == "__main__":
    main()
