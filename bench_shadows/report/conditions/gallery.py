"""The figures of the page: each with its file name, what draws it, what it shows in words, and how to read it."""

from functools import partial

from bench_shadows.report.common.control_figures import SHARED
from bench_shadows.report.common.depth_figures import by_module
from bench_shadows.report.common.picture import BARS, GAP, NO_CHANGES, SEEDS, Picture
from bench_shadows.report.conditions import figures, held_out, words

U_OVER_DEPTH = "Change variance from the initial weights: is it a U over depth, and does only B leave it?"
SPIKES = "All modules: spikes over depth at the end (the paper's effective feature number)"
RANKS = "All modules: delta effective rank from the initial weights"

GALLERY = (
    Picture(
        "alpha_at_end",
        figures.alpha_at_end,
        "Histograms of alpha at the end of training, one panel for each condition, with the range 2 to 6 shaded.",
        "All matrices of the decoder, all seeds together, in percent of those with a fit; alpha in bins of 0.5. "
        "Shaded: [2, 6]. The hatched bin holds everything from 10 on, the number above it says how many.",
    ),
    Picture(
        "alpha_over_checkpoints",
        figures.alpha_over_checkpoints,
        "Histograms of alpha, one row for each condition and one column for each analysed point of training.",
        "As above, at every analysed point of the run. The first point is close to the initial weights, where "
        "alpha jumps from seed to seed.",
    ),
    Picture(
        "v_proj_alpha",
        figures.v_proj_depth,
        "Alpha of the attention value projection over layers at the end, one line for each condition.",
        f"The thin blue line is A's. Shaded in green: [2, 6]. {GAP} {SEEDS}",
    ),
    Picture(
        "up_proj",
        figures.up_proj_depth,
        "Three panels over layers for the MLP up projection at the end: alpha, spikes, and x_min over the mean "
        "eigenvalue.",
        "Spikes are the eigenvalues in the fitted tail, our reading of the paper's effective feature number. "
        "x_min is where the tail begins; divided by the mean eigenvalue it does not depend on the scale of the "
        f"weights. {GAP}",
    ),
    Picture(
        "change_variance",
        partial(by_module, value="change_variance", title=U_OVER_DEPTH),
        "Variance of the change of the weights since initialisation over layers at the end, one panel for each "
        "module.",
        "Variance of the entries of W(end) − W(initial), one value for a matrix. Each panel has its own scale. "
        f"{BARS}",
        NO_CHANGES,
    ),
    Picture(
        "delta_effective_rank",
        figures.delta_effective_rank,
        "Change of effective rank over layers for v_proj, o_proj and up_proj, one row for each reference.",
        "Effective rank at the end minus effective rank of the reference, in dimensions. Rows: measured from the"
        " initial weights, from the analysed checkpoint before, and from condition A at the same step with the "
        "same seed.",
        NO_CHANGES,
    ),
    Picture(
        "relative_change_and_correlation",
        figures.how_far,
        "Relative change and correlation of v_proj over layers, from the initial weights and from condition A.",
        "Relative change is the Frobenius norm of the difference by that of the reference; correlation is "
        "Pearson's, between the entries of both.",
        NO_CHANGES,
    ),
    Picture(
        "trajectories",
        figures.trajectories,
        "Training loss, held-out bits per byte, share of matrices in range and mean effective rank through "
        "training, with the phase shift marked.",
        "The dotted line is the phase shift, where C and D go over to A's data. Training losses before it are of "
        "different texts and must not be compared; held-out text is the same for all.",
        "Not drawn: neither metrics nor diagnostics are there.",
    ),
    Picture(
        "effective_rank",
        figures.rank_by_module,
        "Mean effective rank over layers through training, one panel for each module.",
        "exp of the entropy of the normalised singular values (Roy and Vetterli 2007), mean over layers.",
    ),
    Picture(
        "domains",
        held_out.domains,
        "Difference of held-out bits per byte to condition A at the end, one row for each domain.",
        "Bits per byte at the end minus A's, same seed; the blue line is A. Bars: 95 % interval from three seeds"
        " on.",
        "Not drawn: evaluation.parquet has nothing for it, or only one condition.",
    ),
    Picture(
        "deciles",
        partial(held_out.draw_lines, lines=held_out.DECILES),
        "Held-out loss by decile of token frequency, and its difference to condition A.",
        "Token types ordered by how often A's text has them and cut into ten parts of equal token mass: 1 holds "
        "the few commonest types, 10 the many rare ones.",
        "Not drawn: evaluation.parquet has no losses by token frequency.",
    ),
    Picture(
        "positions",
        partial(held_out.draw_lines, lines=held_out.POSITIONS),
        "Held-out loss by position of the token in its row, and its difference to condition A.",
        "Ranges of positions that double in length. A model that uses its context predicts later tokens better. "
        f"{SEEDS}",
        "Not drawn: evaluation.parquet has no losses by position.",
    ),
    Picture(
        "rare_words",
        partial(held_out.draw_lines, lines=held_out.RARE_WORDS),
        "Accuracy on minimal pairs of rare words by how frequent the word is, and its difference to condition A.",
        "Two held-out sentences with a rare word each, and the same with the words changed, in the spirit of "
        "LongTail-Swap (arXiv:2510.04268); a pair is right where the true sentences are the likelier. Dashed: "
        f"chance. {SEEDS}",
        "Not drawn: evaluation.parquet has no minimal pairs of rare words.",
    ),
    Picture(
        "narrow_and_broad",
        held_out.narrow_and_broad,
        "Differences to condition A at the end on canonical and original text and on narrow and broad exercises, "
        "one row for each task.",
        "Canonical text is held-out text as Condition D's rules rewrite it; narrow exercises are of "
        "generators that the training text has exercises of, broad ones of others. The blue line is A. "
        "Bars: 95 % interval from three seeds on.",
        "Not drawn: evaluation.parquet has neither canonical text nor exercises, or only one condition.",
    ),
    Picture(
        "shadow",
        held_out.shadow,
        "The shadow score through training, from text and from exercises, a line with its interval for each "
        "condition.",
        "Gain on the narrow set minus gain on the broad set, each measured against condition A with the same seed "
        f"at the same step. Above zero a condition is better at what looks like the concentrated half. {SEEDS}",
        "Not drawn: evaluation.parquet has no shadow score; it takes condition A and another one.",
    ),
    Picture(
        "support",
        words.panel,
        "Ten small panels: measures of tokens, of repetition and of words in the first half, a mark with an "
        "interval for each condition.",
        "Above, the tokens of the first half; below, the words of the text in the commonest language, for A, for "
        "D's rewriting of the same documents, and for what all read later. Bars: 95 % intervals over other text "
        "of the same kind. C's words are a part of A's.",
        "Not drawn: data/statistics.json has neither measures of the conditions nor of words.",
    ),
    Picture(
        "data",
        words.support,
        "Share of the first half's tokens in each decile of token frequency, relative to condition A.",
        "The same deciles as those of the held-out loss; how many of the first half's tokens fall into each, "
        "divided by A's. Below 1 at the right: rare types were taken away.",
        "Not drawn: statistics.json has no decile_shares for A and another condition.",
    ),
    *SHARED,
    Picture(
        "alpha_all_modules",
        partial(by_module, value="alpha", title="All modules: alpha over depth at the end"),
        "Alpha over layers at the end, one panel for each module and one for their mean.",
        f"Shaded: [2, 6]. {GAP} {BARS}",
    ),
    Picture(
        "spikes_all_modules",
        partial(by_module, value="spikes", title=SPIKES),
        "Spikes over layers at the end, one panel for each module and one for their mean.",
        f"Eigenvalues at or above x_min. {GAP} {BARS}",
    ),
    Picture(
        "delta_effective_rank_all_modules",
        partial(by_module, value="delta_effective_rank", title=RANKS),
        "Change of effective rank since initialisation over layers at the end, one panel for each module.",
        "Effective rank at the end minus that of the initial weights.",
        NO_CHANGES,
    ),
)
