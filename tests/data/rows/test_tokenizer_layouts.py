"""Whatever a released tokenizer's file looks like: its texts are whole, its ends known, its bytes counted."""

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizer_layouts import LAYOUTS, TEXTS, UNSEEN, file_of
from tokenizers import Tokenizer as Backend

from bench_shadows.config import Config, DataConfig, to_dict
from bench_shadows.config_file import from_dict
from bench_shadows.data.rows.row_store import documents_of, pack
from bench_shadows.data.rows.tokenizer import Tokenizer, load_tokenizer
from bench_shadows.errors import ConfigError
from bench_shadows.validation import problems

HARD = [*TEXTS, UNSEEN, "a  \n\n\n b\tc" + " " * 30 + "d", "it's: don't 'x'"]


@pytest.fixture(params=LAYOUTS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def loaded(name: str, folder: Path) -> Tokenizer:
    (folder / "tokenizer.json").write_text(file_of(name), encoding="utf-8")
    return load_tokenizer(folder / "tokenizer.json", vocab_size=2000)


def test_the_end_of_text_and_what_stands_before_a_text_are_found(name: str, tmp_path: Path) -> None:
    tokenizer, layout = loaded(name, tmp_path), LAYOUTS[name]
    assert tokenizer.end_of_text_name == layout.end_of_text
    ids = [Backend.from_str(file_of(name)).token_to_id(token) for token in layout.before]
    assert tokenizer.before == tuple(ids)
    assert tokenizer.start == (ids[0] if ids else tokenizer.end_of_text)


def test_the_bytes_of_the_tokens_are_those_of_the_text(name: str, tmp_path: Path) -> None:
    tokenizer = loaded(name, tmp_path)
    for text, ids in zip(HARD, tokenizer.encode_alone(HARD), strict=True):
        if LAYOUTS[name].lossless:
            assert tokenizer.bytes_of(ids)[1:].sum() == len(text.encode()), text
        else:  # what its normalizer left of the text
            assert tokenizer.bytes_of(ids)[1:].sum() == len(tokenizer.decode(ids).encode()), text


def test_the_ids_are_those_of_the_file_with_what_it_puts_before_a_text(name: str, tmp_path: Path) -> None:
    tokenizer, backend = loaded(name, tmp_path), Backend.from_str(file_of(name))
    for text, ids in zip(HARD, tokenizer.encode_documents(HARD), strict=True):
        theirs = backend.encode(text).ids
        behind = theirs[len(ids) :]
        assert [*ids.tolist(), *behind] == theirs
        assert behind in ([], [tokenizer.end_of_text])


def test_in_a_row_each_document_is_what_is_put_before_it_then_itself_then_the_end(
    name: str, tmp_path: Path
) -> None:
    tokenizer = loaded(name, tmp_path)
    documents = tokenizer.encode_documents(TEXTS)
    stream = np.concatenate([block.ravel() for block in pack(documents, 64, tokenizer.end_of_text)])
    ends = np.flatnonzero(stream == tokenizer.end_of_text)
    assert len(ends) == len(TEXTS)
    begins = [0, *(ends[:-1] + 1)]
    for text, begin, end in zip(TEXTS, begins, ends, strict=True):
        own = stream[begin : end + 1]
        assert tuple(own[: len(tokenizer.before)]) == tokenizer.before
        [ids] = tokenizer.encode_batch([text])
        np.testing.assert_array_equal(own[len(tokenizer.before) : -1], ids)
        assert tokenizer.start not in ids


def test_a_documents_tokens_have_one_number_and_its_start_is_the_first_of_them(name: str, tmp_path: Path) -> None:
    tokenizer = loaded(name, tmp_path)
    documents = tokenizer.encode_documents(TEXTS)
    [row] = pack(documents, sum(len(ids) + 1 for ids in documents), tokenizer.end_of_text).__next__()
    numbers = documents_of(row, tokenizer.start)
    ends = np.flatnonzero(row == tokenizer.end_of_text)
    for number, (first, end) in enumerate(zip([0, *(ends[:-1] + 1)], ends, strict=True)):
        if tokenizer.before:  # from its own beginning to its own end
            assert set(numbers[first : end + 1]) == {number + 1}
        else:  # from the end of the one before, or the row's beginning, to what stands before its own end
            assert set(numbers[max(0, first - 1) : end]) == {number}
    assert numbers.dtype == np.int32


def test_a_text_cannot_end_itself(name: str, tmp_path: Path) -> None:
    tokenizer = loaded(name, tmp_path)
    names = [LAYOUTS[name].end_of_text, *LAYOUTS[name].before]
    [ids] = tokenizer.encode_batch([f"a{''.join(names)}b {names[0]} c{names[0]}"])
    assert not set(ids.tolist()) & {tokenizer.end_of_text, *tokenizer.before}


def test_truncation_padding_and_dropout_of_the_file_are_switched_off(name: str, tmp_path: Path) -> None:
    backend = Backend.from_str(file_of(name))
    backend.enable_truncation(8)
    backend.enable_padding(length=64, pad_id=0)
    if hasattr(backend.model, "dropout"):
        backend.model.dropout = 0.5
    (tmp_path / "cuts.json").write_text(backend.to_str(), encoding="utf-8")
    cuts, plain = load_tokenizer(tmp_path / "cuts.json", 2000), loaded(name, tmp_path)
    for one, two in zip(cuts.encode_batch(HARD), plain.encode_batch(HARD), strict=True):
        np.testing.assert_array_equal(one, two)
    cuts.save(tmp_path / "saved.json")
    saved = json.loads((tmp_path / "saved.json").read_text(encoding="utf-8"))
    assert saved["truncation"] is saved["padding"] is None


def test_saved_and_loaded_it_is_the_same(name: str, tmp_path: Path) -> None:
    tokenizer = loaded(name, tmp_path)
    tokenizer.save(tmp_path / "saved.json")
    again = load_tokenizer(tmp_path / "saved.json", 2000)
    assert (again.before, again.end_of_text, again.unknown) == (
        tokenizer.before,
        tokenizer.end_of_text,
        tokenizer.unknown,
    )
    for one, two in zip(again.encode_documents(HARD), tokenizer.encode_documents(HARD), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(again.token_bytes, tokenizer.token_bytes)


def test_the_end_of_text_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(file_of("qwen"), encoding="utf-8")
    assert load_tokenizer(tmp_path / "tokenizer.json", 2000, "<|im_end|>").end_of_text_name == "<|im_end|>"
    with pytest.raises(ConfigError, match=r"data.end_of_text=<stop>: .* has no such token; .*<\|im_start\|>"):
        load_tokenizer(tmp_path / "tokenizer.json", 2000, "<stop>")
    named = from_dict(to_dict(Config(data=DataConfig(tokenizer="x.json", end_of_text="<stop>"))))
    assert named.data.end_of_text == "<stop>"
    assert any("data.end_of_text" in line for line in problems(Config(data=DataConfig(end_of_text="<stop>"))))


def test_without_an_end_of_text_the_field_is_named(tmp_path: Path) -> None:
    text = file_of("gpt2").replace("<|endoftext|>", "<|other|>")
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no end-of-text token; .* Name it with config.data.end_of_text"):
        load_tokenizer(tmp_path / "tokenizer.json", 2000)
    assert load_tokenizer(tmp_path / "tokenizer.json", 2000, "<|other|>").end_of_text_name == "<|other|>"


def test_what_follows_a_text_gets_no_second_space(tmp_path: Path) -> None:
    for name in ("gpt2", "llama2", "unigram_fallback"):
        tokenizer = loaded(name, tmp_path)
        [ids] = tokenizer.encode_behind([" narrow"])
        assert tokenizer.token_bytes[ids].sum() == len(" narrow")
