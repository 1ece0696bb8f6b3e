"""Each config field declares once what it determines, and all fingerprints follow from that."""

import dataclasses
import functools
import operator
from typing import Any

import pytest

from bench_shadows.config import ConditionsConfig, Config, determined, may_change, to_dict
from bench_shadows.config_file import from_dict
from bench_shadows.declared import DATA, Determines, field, fields
from bench_shadows.kinds import kind_of, kinds

FIELDS = dict(fields(Config))
OTHER = {"conditions.names": ["A", "C"], "train.checkpoints": "gs://bucket/folder"}
"""Values of fields whose other value cannot be made from their default alone."""


def other_value(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return [*value, *(value[:1] or ["x"])] if isinstance(value, list) else f"{value}x"


def changed(name: str) -> Config:
    """The default config with another value of one field, valid or not."""
    values = to_dict(Config())
    *groups, last = name.split(".")
    group = functools.reduce(operator.getitem, groups, values)
    group[last] = OTHER.get(name, other_value(group[last]))
    build = functools.partial(_build, Config)
    return build(values)


def _build(kind: Any, values: dict[str, Any]) -> Any:
    """Without the checks of a config file: a Literal may get a value that there is not."""
    parts = {}
    for one in dataclasses.fields(kind):
        value, default = values[one.name], getattr(kind(), one.name)
        if dataclasses.is_dataclass(default):
            value = _build(type(default), value)
        parts[one.name] = tuple(value) if isinstance(value, list) else value
    return kind(**parts)


def test_a_field_that_declares_nothing_is_an_error() -> None:
    @dataclasses.dataclass(frozen=True)
    class Forgetful:
        declared: int = field(Determines.ROWS, 1)
        forgotten: int = 1

    with pytest.raises(TypeError, match=r"Forgetful\.forgotten does not declare"):
        list(fields(Forgetful))


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_changes_the_fingerprints_of_what_it_determines_and_no_others(name: str) -> None:
    before, after = Config(), changed(name)
    for what in Determines:
        same = determined(before, what) == determined(after, what)
        unread = name.partition(".")[0] in before.kind.unread
        assert same == (unread or not FIELDS[name] & what), what


@pytest.mark.parametrize("name", [name for name, what in FIELDS.items() if what is Determines.SPEED])
def test_what_is_nothing_but_speed_may_change_while_a_study_continues(name: str) -> None:
    assert may_change(Config(), name, 1, 2)


@pytest.mark.parametrize("name", [name for name, what in FIELDS.items() if what is not Determines.SPEED])
def test_nothing_else_may_but_what_is_added_or_is_not_read(name: str) -> None:
    assert may_change(Config(), name, ["A"], ["B"]) == (name.partition(".")[0] in Config().kind.unread)


def test_seeds_and_conditions_may_be_added_and_the_first_seed_stays_the_first() -> None:
    config = Config()
    assert may_change(config, "conditions.seeds", [3], [3, 0, 1])
    assert not may_change(config, "conditions.seeds", [3], [0, 3])
    assert may_change(config, "conditions.names", ["A", "D"], ["A", "C", "D"])
    assert not may_change(config, "conditions.names", ["A"], ["A", "D"]), "D's text was not drawn"


def test_every_condition_belongs_to_one_kind_which_reads_its_config() -> None:
    names = [name for kind in kinds() for name in kind.conditions]
    assert len(names) == len(set(names))
    for kind in kinds():
        config = Config(conditions=ConditionsConfig(names=kind.conditions))
        assert config.kind is kind
        assert from_dict(to_dict(config)) == config
        for prefix in kind.unread:
            assert any(f"{name}.".startswith(f"{prefix}.") for name in FIELDS), f"{kind.name}: no field {prefix}"
        assert {name for row in kind.conditions for name in kind.rows_of(row)} <= set(kind.row_sets)
    assert kind_of(()).name == kind_of(("no such condition",)).name == "documents"


def test_the_data_of_a_run_is_a_function_of_more_than_its_rows() -> None:
    of_data, of_rows = (determined(Config(), what) for what in (DATA, Determines.ROWS))
    assert of_rows.items() <= of_data.items()
    assert {"data.sources", "conditions.seeds", "conditions.repetition_factor"} <= of_data.keys() - of_rows.keys()
