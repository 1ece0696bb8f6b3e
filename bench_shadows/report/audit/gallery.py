"""The figures of an audit's page: file name, what draws each, what it shows in words, how to read it."""

from collections.abc import Iterator
from functools import partial

from bench_shadows.report.audit import capability, changes, figures
from bench_shadows.report.audit.inputs import Audit
from bench_shadows.report.audit.style import MANY, PANELS, WORDS
from bench_shadows.report.common.picture import GAP, Picture

NO_MATRICES = "Not drawn: no model has such matrices."
NO_CHANGES = "Not drawn: nothing was compared with a reference."
FIRST = f"The first {MANY} are drawn; the tables have all."
RING = "A ring marks a single submodule that stands out."


def gallery(audit: Audit) -> list[Picture]:
    """The pictures that an audit of these components can have; those of one component carry its name."""
    return [*_models(audit), *_moved(audit)]


def _models(audit: Audit) -> Iterator[Picture]:
    many = f" {FIRST}" if len(audit.names) > MANY else ""
    for component in audit.towers:
        word = WORDS.get(component, component)
        yield Picture(
            f"alpha_{component}",
            partial(figures.alpha_histograms, component=component),
            f"Histograms of alpha over the matrices of the {word}, one panel for each model, 2 to 6 shaded.",
            "In percent of the matrices with a fit; alpha in bins of 0.5. Shaded: [2, 6]. The hatched bin holds "
            f"everything from 10 on, the number above it says how many.{many}",
            NO_MATRICES,
        )
    yield Picture(
        "v_proj_alpha",
        figures.v_proj_alpha,
        f"Alpha of the attention value projection of the {audit.main} over depth, one panel for each model.",
        f"Thin grey lines are the other models. Shaded in green: [2, 6]. {GAP}{many}",
        NO_MATRICES,
    )
    yield Picture(
        "up_proj",
        figures.up_proj_depth,
        f"Alpha, spikes, x_min and x_min by the mean eigenvalue of the {audit.main}'s up projection over depth.",
        "Spikes are the eigenvalues in the fitted tail. x_min is where the tail begins and grows with the square "
        f"of the weights' scale; divided by the mean eigenvalue it does not. {GAP}",
        NO_MATRICES,
    )
    for component in audit.towers:
        word = WORDS.get(component, component)
        for value, text, says in (
            ("alpha", "alpha", "Shaded in green: [2, 6]."),
            ("rank_share", "effective rank / full rank", "Full rank is the smaller side of a matrix."),
        ):
            yield Picture(
                f"modules_{component}_{value}",
                partial(figures.modules_depth, component=component, value=value, text=text),
                f"{text.capitalize()} over depth, a panel for each module of the {word}, a line for each model.",
                f"{says} {RING} {GAP} At most {PANELS} modules.",
                "Not drawn: these matrices have no layers.",
            )
    yield Picture(
        "vision_beside_decoder",
        figures.vision_beside_decoder,
        "Alpha of the four attention projections over depth, vision encoder left and decoder right, a row for "
        "each model.",
        "The paper finds an anomaly in one model's vision query projection while its decoder is calm. "
        f"{GAP}{many}",
        "Not drawn: no model has both a vision encoder and a decoder.",
    )


def _moved(audit: Audit) -> Iterator[Picture]:
    many = f" {FIRST}" if len(audit.pairs) > MANY else ""
    for component in audit.towers:
        word = WORDS.get(component, component)
        yield Picture(
            f"change_{component}",
            partial(changes.change_map, component=component),
            f"Relative change of every matrix of the {word} from its reference: modules down, layers across.",
            "Frobenius norm of the difference by that of the reference, in colour on a logarithmic scale; grey: "
            f"not known, or nothing changed.{many}",
            NO_CHANGES,
        )
    yield Picture(
        "v_proj_change",
        changes.v_proj_change,
        f"Relative change and correlation of the {audit.main}'s value projection over depth, by pair.",
        "Dotted, for orientation: relative changes of 0.05 and 0.5, and the correlation of 0.3 below which a "
        "layer is deep. A layer without any change has no point on the left.",
        NO_CHANGES,
    )
    yield Picture(
        "change_profiles",
        changes.change_profiles,
        f"Mean change, change variance, delta effective rank and delta alpha over the depth of the {audit.main}: "
        "v_proj, o_proj, up_proj and the mean of all modules side by side.",
        "Measured from each model's reference. Change variance is the variance of the entries of the difference.",
        NO_CHANGES,
    )
    yield Picture(
        "delta_effective_rank",
        changes.delta_rank,
        f"Change of effective rank over the depth of the {audit.main}, a panel for each pair.",
        f"Effective rank minus that of the reference, in percent of the model's.{many}",
        NO_CHANGES,
    )
    yield Picture(
        "capability",
        capability.spread_figure,
        "Mean score in perception and in reasoning of each model, the spread between them, and structural "
        "measures of the same models in the same rows.",
        "Means over the benchmarks that all models have a score in, in percent of each benchmark's maximum. "
        "Unevenness: interquartile range of alpha over the layers of v_proj by its median. This shows what goes "
        "together, not why.",
        "Not drawn: no scores of both groups for the same models.",
    )
