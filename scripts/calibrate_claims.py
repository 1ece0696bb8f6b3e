"""How often do the claims say what is not so, and how many seeds do they need? Simulated studies.

    python scripts/calibrate_claims.py                          the registered numbers of seeds: rates of all kinds
    python scripts/calibrate_claims.py --seeds 3 4 5 6 8        power, were this the number of seeds of every claim

Tables of `simulated_studies.py` at the paper's depth (224 matrices) unless --layers says otherwise, judged as the
report judges a run, Holm's correction included. The smallest number of seeds that stands in a claim's docstring is
the first at which four of five studies with the paper's effects reproduce it while all nine claims are tested.
"""

import argparse
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from simulated_studies import NONE, PAPER, simulate

from bench_shadows.progress import Progress
from bench_shadows.report.claims import CLAIMS, judge
from bench_shadows.report.claims_verdict import (
    LEVEL,
    SEEDS_FOR_TEST,
    Claim,
    Evidence,
    Part,
    TestedPart,
    correct,
    examine,
    register,
    t_test,
)

REGISTERED = {registration.id: registration for registration in map(register, CLAIMS)}
PAPER_LAYERS = 32


def rate(studies: Sequence[Sequence[Claim]], claim: str, verdict: str) -> float:
    """Share of studies that give a claim this verdict."""
    return float(np.mean([one.verdict == verdict for study in studies for one in study if one.id == claim]))


def at_the_threshold(studies: Sequence[Evidence]) -> tuple[float, float]:
    """(share called true, share called false) of one claim's studies, uncorrected, where it is hardest.

    The mean of one part over all studies is moved to an end of its claimed region, where true becomes false; the
    other parts stay as they are. The largest rates over parts and ends.
    """
    rates = [(_share(tested, _p), _share(tested, _p_against)) for tested in _moved(studies)]
    return max(yes for yes, _ in rates), max(no for _, no in rates)


def _moved(studies: Sequence[Evidence]) -> Iterator[list[list[TestedPart]]]:
    for place, part in enumerate(studies[0].parts):
        centre = np.mean([value for study in studies for value in study.parts[place].values.values()])
        for end in filter(math.isfinite, (part.low, part.high)):
            yield [
                [
                    t_test(_shift(one, float(end - centre)) if index == place else one)
                    for index, one in enumerate(study.parts)
                ]
                for study in studies
            ]


def _shift(part: Part, by: float) -> Part:
    return dataclasses.replace(part, values={seed: value + by for seed, value in part.values.items()})


def _p(parts: Sequence[TestedPart]) -> float:
    return max(1.0 if part.p is None else part.p for part in parts)


def _p_against(parts: Sequence[TestedPart]) -> float:
    return len(parts) * min(1.0 if part.p_against is None else part.p_against for part in parts)


def _share(studies: Sequence[Sequence[TestedPart]], p: Callable[[Sequence[TestedPart]], float]) -> float:
    return float(np.mean([p(parts) <= LEVEL for parts in studies]))


def registered_rates(layers: int, count: int) -> None:
    """Prints, for every claim at its registered number of seeds and at the fewest, how often each verdict falls."""
    print(
        "claim  seeds  reproduced if true  called false if true  reproduced if nothing differs  at the threshold:"
        " called true, called false"
    )
    numbers = sorted({SEEDS_FOR_TEST, *(one.min_seeds for one in REGISTERED.values())})
    with Progress("simulate", len(numbers) * count, "studies") as progress:
        for seeds in numbers:
            random = np.random.default_rng(seeds)
            true, none, evidence = [], [], []
            for _ in range(count):
                run = simulate(PAPER, layers, seeds, random)
                evidence.append({name: claim(run) for name, claim in zip(REGISTERED, CLAIMS, strict=True)})
                true.append(correct([examine(REGISTERED[name], found) for name, found in evidence[-1].items()]))
                none.append(judge(simulate(NONE, layers, seeds, random)))
                progress.add()
            for claim, one in REGISTERED.items():
                if seeds in (SEEDS_FOR_TEST, one.min_seeds):
                    yes, no = at_the_threshold([found[claim] for found in evidence])
                    print(
                        f"{claim:5}  {seeds:5}  {rate(true, claim, 'reproduced'):18.1%}"
                        f"  {rate(true, claim, 'not reproduced'):20.1%}  {rate(none, claim, 'reproduced'):29.1%}"
                        f"  {yes:28.1%}, {no:12.1%}"
                    )


def powers(layers: int, count: int, numbers: Sequence[int]) -> None:
    """Prints how often each claim is reproduced where the paper's effects are there, for numbers of seeds."""
    print("seeds  " + "  ".join(f"{claim:>6}" for claim in REGISTERED))
    for seeds in numbers:
        random = np.random.default_rng(seeds)
        studies = [judge(simulate(PAPER, layers, seeds, random)) for _ in range(count)]
        print(f"{seeds:5}  " + "  ".join(f"{rate(studies, claim, 'reproduced'):6.1%}" for claim in REGISTERED))


def main() -> None:
    """The tables on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--layers", type=int, default=PAPER_LAYERS)
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    arguments = parser.parse_args()
    if arguments.seeds:
        powers(arguments.layers, arguments.studies, arguments.seeds)
    else:
        registered_rates(arguments.layers, arguments.studies)


if __name__ == "__main__":
    main()
