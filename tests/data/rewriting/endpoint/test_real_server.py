"""`transformers serve`, a real OpenAI-compatible server, answers the client over HTTP with a real model."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bench_shadows.config import TeacherConfig
from bench_shadows.data.corpus.document import Document
from bench_shadows.data.rewriting.rewrite import Rewriting, open_teacher, rewrite_shard

pytestmark = pytest.mark.peers

# The model is a real Llama whose weights are a table: every token has one successor, so what it says is known.
SAYS = ["<|assistant|>", "<output>", " We", " use", " the", " thing", ".", " </output>", "<|end|>"]
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}<|assistant|>"


def save_model(folder: Path) -> None:
    """A Llama of one layer that writes SAYS after any message; with a byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({sign: number for number, sign in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([SAYS[0], SAYS[-1]])
    tokenizer.add_tokens(SAYS[1:-1])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SAYS[-1], pad_token=SAYS[-1])
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)

    size = len(fast)
    config = LlamaConfig(
        vocab_size=size, hidden_size=size + size % 2, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, num_key_value_heads=1, max_position_embeddings=8192, tie_word_embeddings=False,
        eos_token_id=fast.eos_token_id, pad_token_id=fast.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    ids = fast.convert_tokens_to_ids(SAYS)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(size, config.hidden_size))
        model.model.layers[0].self_attn.o_proj.weight.zero_()
        model.model.layers[0].mlp.down_proj.weight.zero_()
        model.lm_head.weight.zero_()
        for token, successor in pairwise(ids):
            model.lm_head.weight[successor, token] = 10.0
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeacherConfig]:
    folder = tmp_path_factory.mktemp("model")
    save_model(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("transformers"), "serve", folder, "--host", "127.0.0.1"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "NO_PROXY": "127.0.0.1"}
    log = folder / "log.txt"
    with open(log, "wb") as said:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--device", "cpu"],
            stdout=said,
            stderr=said,
            env=environment,
            start_new_session=True,
        )
    try:
        wait_until_up(f"http://127.0.0.1:{port}/health", process, log)
        yield TeacherConfig(
            base_url=f"http://127.0.0.1:{port}/v1",
            model=str(folder),
            concurrency=2,
            context_tokens=8192,
            attempts=2,
        )
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # it may not listen to SIGTERM
        process.wait()


def wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 240
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise AssertionError(f"not up: {log.read_text()}")


def config(teacher: TeacherConfig) -> Rewriting:
    return Rewriting("endpoint", teacher)


def document(name: str, text: str, kind: str = "text", language: str = "en") -> Document:
    return Document(name, text, "domain", language, kind, "source")


def test_replies_are_read_checked_counted_and_kept(server: TeacherConfig, tmp_path: Path) -> None:
    documents = [
        document("a", "We utilise the apparatus.\n"),
        document("exercise", "What is 2 + 3?", "exercise"),
        document("zh", "我们要用这个东西。", language="zh"),
        document("long", "We utilise the apparatus. " * 40),
    ]
    with open_teacher(config(server), tmp_path) as teacher:
        results = teacher(documents)
    report = teacher.report()
    assert results == [replace(documents[0], text="We use the thing.\n"), *documents[1:]]
    assert report["outcomes"] == {
        "rewritten": 1, "exercise changed": 1, "in another language": 1, "far too short": 1,
    }  # fmt: skip
    assert report["requests"] == 1 + 3 * 2
    assert report["tokens_out"] == report["requests"] * (len(SAYS) - 1)
    assert report["tokens_in"] > report["requests"] * 500


def test_a_shard_goes_through_and_the_stage_finds_it(server: TeacherConfig, tmp_path: Path) -> None:
    documents = [document(str(n), f"We utilise item {n}.") for n in range(10)]
    rewrite_shard(config(server), iter(documents), tmp_path, 0, 1)
    elsewhere = replace(server, base_url="http://127.0.0.1:9/v1")  # nobody is there
    with open_teacher(config(elsewhere), tmp_path) as teacher:
        results = teacher(documents)
    assert [result.text for result in results if result] == ["We use the thing."] * 10


def test_a_key_that_is_set_reaches_a_server_that_wants_none(
    server: TeacherConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with open_teacher(config(server), tmp_path) as teacher:
        [result] = teacher([document("a", "We utilise it.")])
    assert result is not None
    assert result.text == "We use the thing."
    assert not any(b"sk-secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
