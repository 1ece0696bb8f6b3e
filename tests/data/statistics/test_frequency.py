"""Measures of frequency tables, one table or many at once."""

import math

import numpy as np
import pytest

from bench_shadows.data.statistics.frequency import entropy_nats, measures, resampled_measures, top_share


def test_many_tables_at_once_are_each_alone() -> None:
    random = np.random.default_rng(0)
    tables = random.poisson(1.5, (5, 1500))
    found = measures(tables)
    for row, table in enumerate(tables):
        assert found["types"][row] == np.count_nonzero(table)
        assert found["hapaxes"][row] == (table == 1).sum()
        assert found["unigram_entropy_bits"][row] == pytest.approx(entropy_nats(table) / math.log(2))
        for types in (100, 1000):
            assert found[f"top_{types}_share"][row] == pytest.approx(top_share(table, types))


def test_the_zipf_slope_of_a_zipf_law_is_its_exponent() -> None:
    rank = np.arange(1, 5001)
    for exponent in (0.8, 1.0, 1.3):
        assert measures((1e9 * rank**-exponent)[None])["zipf_slope"][0] == pytest.approx(-exponent, abs=1e-6)


def test_few_types_have_no_zipf_slope_and_nothing_has_no_shares() -> None:
    few = measures(np.ones((1, 999)))
    assert math.isnan(few["zipf_slope"][0])
    assert few["top_1000_share"][0] == 1.0
    nothing = measures(np.zeros((1, 50)))
    assert nothing["types"][0] == 0
    assert math.isnan(nothing["unigram_entropy_bits"][0])


def test_resamples_add_up_their_groups() -> None:
    counts = np.array([[1, 0, 2], [1, 4, 0]])
    found = resampled_measures(counts, np.array([[1.0, 1.0], [0.0, 1.0]]))
    assert found["types"].tolist() == [3, 2]
    assert found["hapaxes"].tolist() == [0, 1]
    assert resampled_measures(counts, np.empty((0, 2))) == {}
