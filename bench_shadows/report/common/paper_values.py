"""Figures that the paper reports. They are shown as the paper's, beside a run's own, never among them."""

CITATION = (
    "Benchmark Shadows: Data Alignment, Parameter Footprints, and Generalization in Large Language Models, "
    "arXiv:2604.07363, Table 1"
)

TABLE_1_COLUMNS = ("2k", "20k", "40k", "60k", "72k")

# Percent of 224 weight matrices with alpha in [2, 6] by training step, and the paper's own word for the trend.
TABLE_1 = {
    "A": ((60.7, 81.7, 79.0, 79.5, 78.6), "Stable"),
    "B": ((62.1, 57.6, 57.6, 61.2, 61.2), "Stuck"),
    "C": ((58.9, 79.9, 81.7, 80.4, 81.3), "Recover"),
    "D": ((61.2, 77.2, 78.1, 77.7, 77.2), "Gap"),
}
