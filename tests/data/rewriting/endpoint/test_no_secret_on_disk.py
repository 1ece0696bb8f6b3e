"""A key that a server repeats and a bucket's secret, planted wherever they can enter: no file has them."""

import json
from pathlib import Path

import pytest
from fault_server import FaultServer, simple
from tiny_study import command, write_config

from bench_shadows.config_file import load
from bench_shadows.errors import ConfigError

KEY = "sk-planted-0123456789abcdef"
SECRET = "pl4nted/Secr3t+KEY"
ADDRESS = f"s3://AKIAPLANTED:{SECRET}@bucket/x.jsonl"


def files_with(folder: Path, *secrets: str) -> list[Path]:
    """The files below a folder, hidden ones with them, that hold any of the texts."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if any(one.encode() in path.read_bytes() for one in secrets)]


def test_a_key_that_a_server_echoes_reaches_no_file(tmp_path: Path) -> None:
    config, out = write_config(tmp_path), tmp_path / "run"

    def echo(text: str) -> str:
        return (
            KEY if len(text) % 5 == 0 else f"{simple(text)} Authorization: Bearer {KEY}"
        )  # invalid and valid ones

    with FaultServer(echo, {"500": 0.05, "refusal": 0.02}).running() as server:
        words = (f"--config.data.teacher.base_url={server.url}", "--config.data.rewriter=endpoint")
        words = (*words, "--config.data.teacher.attempts=1", f"--out={out}")
        code, output = command("prepare", f"--config={config}", *words, OPENAI_API_KEY=KEY)
        assert code == 0, output
        assert server.keys
    rewritten = "".join(path.read_text() for path in (out / "data" / "rewritten").rglob("*.jsonl"))
    assert "Bearer ***" in rewritten
    assert json.loads((out / "data" / "documents.json").read_text())["rewriting"]["invalid_replies"]
    assert KEY not in output
    assert files_with(out, KEY) == []


@pytest.mark.parametrize(
    "option",
    [
        f"--config.data.sources={ADDRESS}",
        f"--config.data.sources=a.jsonl,s3://bucket/x?region=a&secret_key={SECRET}",
        f"--config.data.tokenizer={ADDRESS}",
        f"--config.model.initial={ADDRESS}",
        f"--config.prompts.image_folder={ADDRESS}",
        f"--config.train.checkpoints=gs://me:{SECRET}@bucket/x",
        f"--config.data.teacher.base_url=http://me:{SECRET}@127.0.0.1:1/v1",
        f"--config.data.teacher.base_url=http://127.0.0.1:1/v1?api_key={SECRET}",
        f"--beam=--runner=x://me:{SECRET}@host",
    ],
)
def test_an_address_with_a_key_is_refused_before_anything_is_written(option: str, tmp_path: Path) -> None:
    code, output = command("prepare", "--config=laptop", option, f"--out={tmp_path / 'run'}")
    assert (code, output.count("\n")) == (2, 1), output
    assert SECRET not in output
    assert "AKIAPLANTED" not in output
    assert list(tmp_path.iterdir()) == []


def test_a_config_file_with_a_key_in_an_address_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from bench_shadows.config_file import defaults\n"
        "def get_config():\n    config = defaults()\n"
        f"    config.data.sources = ({ADDRESS!r},)\n    return config\n"
    )
    with pytest.raises(ConfigError, match=r"config\.data\.sources: a name or a key") as caught:
        load(tmp_path / "mine.py")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "hf:allenai/c4:en@validation",
        "s3://bucket/x@y.jsonl?region=eu-west-1&endpoint_override=host:9000",
        "/data/a@b:c.jsonl",
        "gs://bucket/design=x/token.txt",
        "hf://datasets/a@main/x.parquet",
    ],
)
def test_other_addresses_are_taken(source: str) -> None:
    assert load("laptop", {"data.sources": source}).data.sources == (source,)
