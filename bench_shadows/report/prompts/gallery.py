"""The figures of the page of a study of prompts; see `gallery`."""

import dataclasses
from functools import partial

from bench_shadows.report.common.control_figures import SHARED
from bench_shadows.report.common.picture import BARS, GAP, NO_CHANGES, SEEDS, Picture
from bench_shadows.report.common.tables import DECODER
from bench_shadows.report.prompts import figures, score_figures

NO_SCORES = "Not drawn: evaluation.parquet has no scores of both conditions at the end of training."
NO_VISION = "Not drawn: this study has no vision encoder, or nothing was measured of it."
INTERVALS = "Bars: 95 % intervals over seeds (Student's t) from three seeds on."
WHOLE_ROWS = (
    "Token statistics are those of whole rows, the places of images and what fills a row up included: shorter "
    "prompts leave more to fill up."
)

GALLERY = (
    Picture(
        "groups",
        score_figures.groups,
        "Difference in accuracy by group of tasks when repeated prompts are removed, with intervals; beside it "
        "the differences of the paper's Table 3.",
        f"Left: this run, held-out samples asked with clean prompts, difference to the baseline of the same seed. "
        f"{INTERVALS} Right, violet: what the paper prints, on its own benchmarks and on a scale of its own.",
        NO_SCORES,
    ),
    Picture(
        "tasks",
        score_figures.tasks,
        "Accuracy by task for both conditions with the commonest answer's, and the differences in accuracy and in "
        "loss of the answer, one row for each task.",
        "Held-out samples asked with clean prompts. Grey: what answering with the commonest training answer of "
        "the task gets; a model that is not above it has not learned the task. The blue line is the baseline. "
        f"{INTERVALS}",
        "Not drawn: evaluation.parquet has no accuracy by task.",
    ),
    Picture(
        "asked",
        score_figures.asked,
        "Accuracy of both conditions asked with clean and with repeated prompts, one panel for each group of "
        "tasks.",
        "The same held-out samples asked twice. Lines that cross: each condition is best at prompts like its own, "
        "and a difference with clean prompts is a difference in habit. Parallel lines: it is one in ability. "
        f"{SEEDS}",
        "Not drawn: the held-out samples were not asked both ways.",
    ),
    Picture(
        "alpha_at_end",
        figures.alpha_at_end,
        "Histograms of alpha at the end of training, one column for each condition, the decoder above and the "
        "vision encoder below, with the range 2 to 6 shaded.",
        "The paper's Figure 13. All matrices, all seeds together, in percent of those with a fit; the line is the "
        "other condition's. Shaded: [2, 6]. The hatched bin holds everything from 10 on.",
    ),
    Picture(
        "v_proj_alpha",
        figures.depth,
        "Alpha of v_proj and of up_proj over layers at the end for both conditions, and their difference at each "
        "layer.",
        "Left: means over seeds and their 95 % interval, [2, 6] shaded. Right: de-duplicated minus baseline of "
        f"the same seed; dots are seeds, marks their mean. {INTERVALS} {GAP}",
    ),
    Picture(
        "apart",
        figures.apart,
        "Distance between the conditions in alpha and in effective rank for each module, beside the distance "
        "between two seeds of one condition.",
        "Root mean square over layers of the difference at the end. Mark: the conditions, same seed, hence the "
        "same initial weights and the same order of samples. Grey: two seeds of one condition. A mark within its "
        f"grey bar is a difference that another draw of the initial weights makes, too. {INTERVALS}",
        "Not drawn: it takes both conditions and two seeds.",
    ),
    Picture(
        "delta_effective_rank",
        figures.delta_effective_rank,
        "Change of effective rank over layers for v_proj, o_proj and up_proj: since initialisation above, from "
        "the baseline below, on one scale.",
        f"Effective rank at the end minus that of the reference, in dimensions. Both rows of a column share their "
        f"scale: below, what removing repeated prompts moves, against what training moves, above. {BARS}",
        NO_CHANGES,
    ),
    Picture(
        "how_far",
        figures.how_far,
        "Relative change of the weights by module since initialisation, and between the conditions.",
        f"Frobenius norm of the difference by that of the reference, mean over layers. {INTERVALS}",
        NO_CHANGES,
    ),
    Picture(
        "trajectories",
        figures.trajectories,
        "Training loss, held-out losses, share of matrices in range and mean effective rank through training, a "
        "line for each condition.",
        "Training losses are of answers to different prompts and must not be compared as they are; held-out "
        f"losses are of the same answers to the same clean prompts. {SEEDS}",
        "Not drawn: neither metrics nor diagnostics are there.",
    ),
    Picture(
        "alpha_all_modules",
        partial(figures.of_modules, value="alpha", component=DECODER),
        "Alpha over layers at the end, one panel for each module of the decoder and one for their mean.",
        f"Shaded: [2, 6]. {GAP} {BARS}",
    ),
    Picture(
        "delta_effective_rank_all_modules",
        partial(figures.of_modules, value="delta_effective_rank", component=DECODER),
        "Change of effective rank since initialisation over layers, one panel for each module of the decoder.",
        f"Effective rank at the end minus that of the initial weights. {BARS}",
        NO_CHANGES,
    ),
    Picture(
        "alpha_vision",
        partial(figures.of_modules, value="alpha", component=figures.VISION),
        "Alpha over layers at the end, one panel for each module of the vision encoder and one for their mean.",
        f"Shaded: [2, 6]. {GAP} {BARS}",
        NO_VISION,
    ),
    Picture(
        "delta_effective_rank_vision",
        partial(figures.of_modules, value="delta_effective_rank", component=figures.VISION),
        "Change of effective rank since initialisation over layers, one panel for each module of the vision "
        "encoder.",
        f"Effective rank at the end minus that of the initial weights. {BARS}",
        NO_VISION,
    ),
    *(
        dataclasses.replace(picture, caption=f"{WHOLE_ROWS} {picture.caption}")
        if picture.name == "controls"
        else picture
        for picture in SHARED
    ),
)
"""The names that claims give are among these."""
