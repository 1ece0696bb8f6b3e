"""The tokenizer loses nothing, is the same every time, and says how many bytes its tokens are."""

import base64
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.rows.tokenizer import Tokenizer, load_tokenizer, train_bpe
from bench_shadows.errors import ConfigError, DataError

TEXTS = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parents[2].rglob("*.py"))]
TEXTS += ["今天天气很好，我们去公园玩。公园里有很多人。" * 5, "Она пошла домой — 1234567 раз.\r\n\r\n\t x"] * 3


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(TEXTS, 600)


def test_it_has_exactly_the_tokens_asked_for_and_one_of_them_ends_a_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size == 600
    assert tokenizer.end_of_text == 0
    assert tokenizer.token_bytes[tokenizer.end_of_text] == 0


def test_training_again_gives_the_same_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "one.json")
    train_bpe(TEXTS, 600).save(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_training_reads_only_its_sample() -> None:
    def texts():
        yield from TEXTS
        raise AssertionError("read past the sample")

    assert train_bpe(texts(), 300, sample_bytes=1000).vocab_size == 300


def test_digits_stand_alone_and_chinese_words_do_not_join_with_digits(tokenizer: Tokenizer) -> None:
    [ids] = tokenizer.encode_batch(["1234567"])
    assert [tokenizer.decode([i]) for i in ids] == list("1234567")


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_every_text_comes_back_and_its_bytes_are_counted(tokenizer: Tokenizer, text: str) -> None:
    [ids] = tokenizer.encode_batch([text])
    assert tokenizer.decode(ids) == text
    assert tokenizer.token_bytes[ids].sum() == len(text.encode())


def test_a_text_cannot_end_itself(tokenizer: Tokenizer) -> None:
    [ids] = tokenizer.encode_batch(["a<|endoftext|>b"])
    assert tokenizer.end_of_text not in ids


def test_a_saved_tokenizer_is_the_same_tokenizer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path / "tokenizer.json", vocab_size=600)
    text = "def f(x):\n    return 42  # 很好<|endoftext|>"
    assert np.array_equal(again.encode_batch([text])[0], tokenizer.encode_batch([text])[0])
    assert again.end_of_text == tokenizer.end_of_text
    assert np.array_equal(again.token_bytes, tokenizer.token_bytes)


def test_too_little_text_for_the_vocabulary_is_said() -> None:
    with pytest.raises(DataError, match=r"give only .* tokens of config.model.vocab_size=4000"):
        train_bpe(["only a few words"], 4000)


def test_more_tokens_than_the_model_has_rows_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    with pytest.raises(ConfigError, match=r"600 token ids do not fit config.model.vocab_size=599"):
        load_tokenizer(tmp_path / "tokenizer.json", vocab_size=599)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{}", "not a Hugging Face tokenizer.json"),
        ("tokenizer.json", "nonsense", "not a Hugging Face tokenizer.json"),
        ("x.tiktoken", "IQ== 0\nnonsense", r"x.tiktoken:2: expected a base64 token and its rank"),
    ],
)
def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_tokenizer(tmp_path / name, vocab_size=1000)


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_tokenizer(tmp_path / "tokenizer.json", vocab_size=1000)


def test_ranks_of_a_tiktoken_file_decide_what_is_merged_first(tmp_path: Path) -> None:
    tokens = [bytes([byte]) for byte in range(256)] + [
        b"bc",
        b"ab",
        b"abc",
        b" a",
        "很".encode()[:2],
        "很".encode(),
    ]
    lines = (f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens))
    (tmp_path / "x.tiktoken").write_text("\n".join(lines))
    tokenizer = load_tokenizer(tmp_path / "x.tiktoken", vocab_size=1000)
    [ids] = tokenizer.encode_batch(["abc ab很"])
    # `bc` has the lower rank and goes first; `a` + `bc` is then the token `abc`; `ab` goes before ` a`
    assert [tokens[i] for i in ids] == [b"abc", b" ", b"ab", "很".encode()]
    assert tokenizer.end_of_text == len(tokens)
    assert tokenizer.token_bytes[ids].tolist() == [3, 1, 2, 3]
