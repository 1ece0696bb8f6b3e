"""C1 to C4, C7 and C8: claims on the spectra of the weights, read from diagnostics.parquet."""

from bench_shadows.report.claims_tables import average, difference, matrices, mean
from bench_shadows.report.claims_verdict import Evidence, Part
from bench_shadows.report.inputs import Run
from bench_shadows.report.tables import decoder, fraction_label

BEFORE, AFTER, END = 10 / 36, (20 / 36, 30 / 36, 1.0), 1.0
ONE_MATRIX = 100 / 224  # points; the smallest step of the paper's Table 1


def share_in_range(run: Run) -> Evidence:
    """C1: A is stable, B stuck, C recovers, D keeps a gap.

    Claim: The share of matrices with alpha in [2, 6] is stable for A (near 79 %), stuck low for B (near 60 %),
    dips and recovers to A for C, and keeps a gap to A for D (Table 1).

    Statistic: The share in percent of fitted matrices at 10/36 (before the phase shift), 20/36, 30/36 and the end
    (after it); 1/36 is not read, since alpha is noisy near the initial weights. Five parts, all of which must
    hold: D − A, mean after the shift; B − A, mean of the four points; A at the end − A at 10/36; C − A at 10/36;
    C − A, mean after the shift.

    Test: One-sided t-tests over seeds, conditions paired by seed; two for "A is stable". All parts must pass, so
    the largest p counts and no correction between parts is needed (Berger 1982).

    Threshold: One matrix of the paper's 224, 0.45 points, for the gap of D (below −0.45; the paper has −1.4), the
    dip of C (below −0.45; −1.8) and its recovery (above −0.45; +1.8). For B and for A half of what separates B
    from A in the paper, 10 points: B − A below −10 (−20.3), A moves by less than 10 (−3.1).

    Seeds: 5

    Figure: trajectories
    """
    shares = {}
    for fraction in (BEFORE, *AFTER):
        here = matrices(run, decoder(run), "in_range", ("A", "B", "C", "D"), fraction)
        for name in here.conditions:
            shares[name, fraction] = here.by_seed(100 * mean(here[name], (1, 2)))

    def minus_a(name: str, *fractions: float) -> dict[int, float]:
        return average([difference(shares[name, point], shares["A", point]) for point in fractions])

    points = "points"
    return Evidence(
        (
            Part("D − A after the phase shift", minus_a("D", *AFTER), points, high=-ONE_MATRIX),
            Part("B − A", minus_a("B", BEFORE, *AFTER), points, high=-10),
            Part(
                "A at the end − A at 10/36", difference(shares["A", END], shares["A", BEFORE]), points, -10.0, 10.0
            ),
            Part("C − A at 10/36", minus_a("C", BEFORE), points, high=-ONE_MATRIX),
            Part("C − A after the phase shift", minus_a("C", *AFTER), points, low=-ONE_MATRIX),
        ),
        {f"share in [2, 6], %, {name}, {fraction_label(point)}": found for (name, point), found in shares.items()},
    )


def recoverable(run: Run) -> Evidence:
    """C2: C is recoverable and D is not.

    Claim: At the end D falls short of A's share of matrices with alpha in [2, 6] by more than C does.

    Statistic: D's shortfall minus C's: (A − D) − (A − C) = C − D, in points of the share at the end. The paper's
    |C − A| and |D − A| would not do: in its own Table 1 they are 2.7 and 1.4, since C ends above A.

    Test: One-sided t-test over seeds, C and D paired by seed.

    Threshold: Half of the paper's 4.1 points (81.3 − 77.2): above 2.05.

    Seeds: 5

    Figure: trajectories
    """
    here = matrices(run, decoder(run), "in_range", ("A", "C", "D"), END)
    shares = {name: here.by_seed(100 * mean(here[name], (1, 2))) for name in here.conditions}
    return Evidence(
        (Part("D's shortfall minus C's", difference(shares["C"], shares["D"]), "points", low=2.05),),
        {f"share in [2, 6], %, {name}, end": found for name, found in shares.items()},
    )
