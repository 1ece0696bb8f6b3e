"""A config is typed, validated in one line, and the paper's is the paper's."""

from pathlib import Path

import pytest

from bench_shadows.config import Config, config_hash, to_dict
from bench_shadows.config_file import find, from_dict, load, shipped
from bench_shadows.errors import ConfigError

CONFIGS = Path(__file__).parents[1] / "configs"


def test_the_papers_config_is_the_papers() -> None:
    config = load(CONFIGS / "paper.py")
    assert config.steps == 73_242
    assert config.warmup_steps == 400
    assert config.phase_steps == 36_621
    assert config.model.head_dim == 128
    assert (config.train.clip_norm, config.train.weight_decay) == (1.0, 0.1)
    assert config.train.compute_dtype == "bfloat16"
    assert [round(step / config.steps * 72) for step in config.analysed_steps] == [2, 20, 40, 60, 72]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.name)
def test_every_config_file_is_valid_and_says_how_to_run_it(path: Path) -> None:
    config = load(path)
    assert from_dict(to_dict(config)) == config
    assert f"--config={path.stem}" in path.read_text(encoding="utf-8")


def test_a_config_that_comes_with_the_package_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sorted(shipped()) == sorted(path.stem for path in CONFIGS.glob("*.py"))
    assert find("laptop") == CONFIGS / "laptop.py"
    assert load("laptop") == load(CONFIGS / "laptop.py")


def test_any_other_config_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    (tmp_path / "laptop").mkdir()  # a folder of that name hides nothing
    assert find("mine.py") == Path("mine.py")
    assert find(tmp_path / "mine.py") == tmp_path / "mine.py"
    assert find("laptop") == CONFIGS / "laptop.py"


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ("lapton", 'no such config; did you mean "laptop"? (by name there are colab, laptop, paper,'),
        ("zebra", "no such config (by name there are colab,"),
        ("mine", 'no such config; did you mean "mine.py"?'),
        ("laptop.py", "no such file; --config=laptop is one that comes with the package"),
        ("configs/zebra.py", "configs/zebra.py: no such file"),
        ("elsewhere/laptop", "elsewhere/laptop: no such file"),
        ("", "no such config"),
    ],
)
def test_a_config_that_is_not_there(
    config: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    with pytest.raises(ConfigError) as caught:
        find(config)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("train.samples", "640000", 640_000),
        ("train.peak_learning_rate", "1e-3", 1e-3),
        ("model.tie_embeddings", "false", False),
        ("train.remat", "none", "none"),
        ("conditions.names", "A,C", ("A", "C")),
        ("conditions.seeds", "0,1,2", (0, 1, 2)),
        ("data.fields.text", "content", "content"),
    ],
)
def test_an_override_is_read_as_the_type_of_its_field(name: str, text: str, value: object) -> None:
    config: object = load(CONFIGS / "laptop.py", {name: text})
    for part in name.split("."):
        config = getattr(config, part)
    assert config == value
    assert type(config) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("train.sampels", "3", 'no such field; did you mean "samples"'),
        ("trian.samples", "3", 'no such group of fields; did you mean "train"'),
        ("train", "3", "is a group"),
        ("train.samples", "3.5", "expected a whole number, got '3.5'"),
        ("train.samples", "-1", "expected more than 0"),
        ("train.peak_learning_rate", "nan", "expected a number"),
        ("model.tie_embeddings", "yes", "expected true or false"),
        ("train.remat", "some", "expected one of 'none', 'gate_up', 'gate', 'attention', 'full'"),
        ("model.num_heads", "3", "not a multiple of num_heads=3"),
        ("model.num_kv_heads", "3", "not a multiple of num_kv_heads=3"),
        ("model.num_heads", "128", "RoPE rotates pairs"),
        ("train.micro_batch_size", "5", "not a multiple of micro_batch_size=5"),
        ("train.warmup_samples", "100000000", "warmup"),
        ("conditions.repetition_factor", "20", "is 2, more than 1"),
        ("conditions.names", "A,E", "no condition 'E'"),
        ("conditions.seeds", "1,1", "one twice"),
        ("conditions.phase", "1", "expected in (0, 1)"),
        ("diagnostics.fractions", "0.5,0.2,1", "ascending"),
        ("diagnostics.fractions", "0.5", "the last must be 1"),
        ("train.samples", "128", "does not end within"),
        ("evaluation.rows", "100000", "more than config.data.held_out_rows"),
        ("data.sources", "", "empty"),
        ("model.vocab_size", "100", "at least 260"),
    ],
)
def test_what_cannot_be_is_one_line(name: str, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=r"config") as caught:
        load(CONFIGS / "laptop.py", {name: text})
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_config_file_with_a_mistake_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mistake.py"
    path.write_text(
        "from bench_shadows.config_file import defaults\n"
        "def get_config():\n    config = defaults()\n    config.train.sampels = 3\n    return config\n"
    )
    with pytest.raises(ConfigError, match="sampels") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "nothing.py")


def test_the_hash_of_a_config_follows_its_values() -> None:
    assert config_hash(Config().model) == config_hash(Config().model)
    assert config_hash(Config().model) != config_hash(Config().train)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.jsonl, b.jsonl", ("a.jsonl", "b.jsonl")),
        ('"news, 1999.jsonl",b.jsonl', ("news, 1999.jsonl", "b.jsonl")),
        ("text (1).jsonl,(2).jsonl", ("text (1).jsonl", "(2).jsonl")),
        ("[ab]*.jsonl,[1]", ("[ab]*.jsonl", "[1]")),
        ('a"b.jsonl,"say ""no"".txt"', ('a"b.jsonl', 'say "no".txt')),
        ("('a, b.jsonl', \"c\")", ("a, b.jsonl", "c")),
    ],
)
def test_items_of_a_list_may_hold_commas_brackets_and_quotes(text: str, value: tuple[str, ...]) -> None:
    assert load(CONFIGS / "laptop.py", {"data.sources": text}).data.sources == value


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("data.sources", '"a,b', "is no list"),
        ("data.sources", "a\udcffb.jsonl", r"'a\udcffb.jsonl' is not UTF-8"),
        ("data.tokenizer", "\ud800", "is not UTF-8"),
        ("train.samples", "9" * 4000, "no machine counts to"),
        ("conditions.seeds", "[" + "9" * 4000 + "]", "no machine counts to"),
        ("train.remat", "x" * 5000, "(5,002 characters)"),
        ("train.samples", "x" * 5000, "(5,002 characters)"),
        ("train.clip_norm", "9" * 4000, "expected a number"),
    ],
)
def test_foreign_names_and_numbers_are_one_short_line(name: str, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(CONFIGS / "laptop.py", {name: text})
    assert complaint in str(caught.value)
    assert len(str(caught.value).encode()) < 500
    assert "\n" not in str(caught.value)
