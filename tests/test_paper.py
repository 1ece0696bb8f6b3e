"""The paper's facts agree with each other and with the defaults of a run, which are the paper's."""

from bench_shadows import paper
from bench_shadows.config import Config


def test_the_defaults_of_a_run_are_the_papers() -> None:
    config = Config()
    assert config.model.num_layers * len(paper.MODULES) == paper.MATRICES == 224
    assert config.diagnostics.fractions == paper.FRACTIONS
    assert (paper.BEFORE, len(paper.AFTER), paper.END) == (10 / 36, 3, 1)


def test_every_figure_of_its_table_1_is_a_count_of_224_matrices() -> None:
    for values, _ in paper.TABLE_1.values():
        assert len(values) == len(paper.TABLE_1_COLUMNS) == len(paper.FRACTIONS)
        for value in values:
            assert abs(100 * round(value * 2.24) / 224 - value) < 0.051


def test_layers_in_words() -> None:
    assert paper.spans([5, 3, 4, 0]) == "0, 3–5"
    assert paper.spans([]) == ""
