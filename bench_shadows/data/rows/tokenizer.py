"""One small interface over Hugging Face `tokenizers`: train a byte-level BPE, load one, encode, measure."""

import base64
import binascii
import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

from bench_shadows.config import Config
from bench_shadows.data.rows.token_bytes import byte_alphabet, count_bytes, is_byte_level, puts_space
from bench_shadows.errors import ConfigError, DataError
from bench_shadows.files import atomic_path

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_NAMES = (
    *(END_OF_TEXT, "<|end_of_text|>", "<\uff5cend▁of▁sentence\uff5c>", "</s>", "<eos>", "[EOS]"),
    *("<|im_end|>", "<|eot_id|>", "[SEP]"),
)
"""What released tokenizers call it, most specific first. DeepSeek's has bars of full width, U+FF5C."""

SAMPLE_BYTES = 4_000_000
"""UTF-8 bytes of text that a BPE is trained on: 1.3 s for 1,536 tokens, 1.7 s for 32,000 (our choice)."""

# Qwen's published split, which .tiktoken files need to the letter: English contractions, a run of letters (of
# any script) with one character before it, single digits, punctuation with its line ends, white space.
SPLIT = "|".join(
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        r"\p{N}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)


class Tokenizer:
    """Text to token ids and back.

    A special token's name inside a text is encoded as ordinary characters: text cannot end a document. Nothing is
    cut, padded, or split at random, whatever the file says.

    Attributes:
      end_of_text: the id behind every document, `end_of_text_name` its name.
      before: ids that the file's own post-processor puts before a text, such as `<s>`. What it puts behind a text
        is left out, here and in what is saved: rows end their documents themselves.
      start: the id that a document begins with, or behind which it begins: the first of `before`, else the end of
        the text before it.
      unknown: the id of what the vocabulary has no token for; None where there is none.
    """

    def __init__(self, backend: Backend, end_of_text: str = END_OF_TEXT):
        backend.encode_special_tokens = True
        backend.no_truncation()
        backend.no_padding()
        if getattr(backend.model, "dropout", None):
            backend.model.dropout = None
        if backend.token_to_id(end_of_text) not in backend.get_added_tokens_decoder():
            backend.add_special_tokens([end_of_text])
        self._backend = backend
        self.end_of_text_name = end_of_text
        self.end_of_text: int = backend.get_vocab(with_added_tokens=True)[end_of_text]
        self.before = _leave_nothing_behind(backend)
        self.start = self.before[0] if self.before else self.end_of_text
        self._file: dict[str, Any] = json.loads(backend.to_str())
        self.unknown = _unknown(self._file["model"], backend)

    @property
    def vocab_size(self) -> int:
        """One more than the highest id."""
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def start_name(self) -> str:
        """The name of the token `start`."""
        return str(self._backend.id_to_token(self.start))

    @property
    def drops(self) -> bool:
        """Whether characters that it has no token for are left out without a trace."""
        model = self._file["model"]
        known = self.unknown is not None or model.get("byte_fallback") or is_byte_level(self._file)
        return not known

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text, uint32 [tokens], nothing added; all cores are used."""
        encoded = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        found = [np.asarray(one.ids, dtype=np.uint32) for one in encoded]
        for number, ids in enumerate(found):
            if (ids == self.end_of_text).any():
                found[number] = self._spelt(texts[number])
        return found

    def _spelt(self, text: str) -> np.ndarray:
        """Token ids of a text in which the end of text stands by name: Unigram's model takes it for the token."""
        name = self.end_of_text_name
        parts = text.replace(name, f"{name[0]}\0{name[1:]}").split("\0")  # no document has NUL characters
        encoded = self._backend.encode_batch_fast(parts, add_special_tokens=False)
        ids = np.concatenate([np.asarray(one.ids, dtype=np.uint32) for one in encoded])
        if (ids == self.end_of_text).any():
            raise DataError(
                f"tokenizer: it reads a text as its end of text, {name!r}; name another token with "
                "config.data.end_of_text"
            )
        return ids

    def encode_documents(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text as rows have them, uint32 [tokens]: `before` in front, the end not there yet.

        Where `before` is the end of text, the end of the document before is it.
        """
        put = self.before if self.before != (self.end_of_text,) else ()
        return [_behind(put, ids) for ids in self.encode_batch(texts)]

    def encode_alone(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text as a model is asked about it, as at a document's beginning: `start` first."""
        return [_behind(self.before or (self.end_of_text,), ids) for ids in self.encode_batch(texts)]

    def encode_behind(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of texts that begin with a space and stand behind another text."""
        own = puts_space(self._backend)
        return self.encode_batch([text.removeprefix(" ") if own else text for text in texts])

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of token ids; special tokens have none."""
        return self._backend.decode([int(i) for i in ids], skip_special_tokens=True)

    @functools.cached_property
    def _bytes(self) -> tuple[np.ndarray, np.ndarray]:
        without = {self.end_of_text, *self.before}
        return count_bytes(
            self._backend, self._file, without if self.unknown is None else without | {self.unknown}
        )

    @property
    def token_bytes(self) -> np.ndarray:
        """UTF-8 bytes that each token stands for behind another one, int64 [vocab_size].

        0 for special tokens, the unknown one and unused ids. Added tokens that are text count theirs.
        """
        return self._bytes[0]

    def bytes_of(self, ids: np.ndarray) -> np.ndarray:
        """UTF-8 bytes that the tokens of rows stand for, int64 of the shape of `ids`, [..., T].

        They are `token_bytes`, but for the first token of a text: the space that some tokenizers put before it is
        none of the text's. Bits per byte = loss in nats / (ln 2 * bytes), both of the tokens that have bytes.
        """
        following, first = self._bytes
        begins = np.zeros(ids.shape, bool)
        begins[..., 1:] = np.isin(ids[..., :-1], [self.end_of_text, *self.before])
        return np.where(begins, first[ids], following[ids])

    def save(self, path: Path | str) -> None:
        """Writes a tokenizer.json, atomically."""
        with atomic_path(path) as temporary:
            self._backend.save(str(temporary))


def _behind(before: tuple[int, ...], ids: np.ndarray) -> np.ndarray:
    return np.concatenate([np.array(before, np.uint32), ids]) if before else ids


def _leave_nothing_behind(backend: Backend) -> tuple[int, ...]:
    """The ids that the post-processor puts before a text; what it puts behind one it does no more."""
    if not backend.num_special_tokens_to_add(False):
        return ()
    full, own = (backend.encode("a", add_special_tokens=added).ids for added in (True, False))
    places = (at for at in range(len(full) - len(own) + 1) if full[at : at + len(own)] == own)
    at = next(places, len(full))
    before, behind = full[:at], full[at + len(own) :]
    names = [backend.id_to_token(index) for index in before]
    if behind:
        backend.post_processor = processors.TemplateProcessing(
            single=[*names, "$A"],
            pair=[*names, "$A", "$B"],
            special_tokens=list(dict(zip(names, before, strict=True)).items()),
        )
    return tuple(before)


def _unknown(model: dict[str, Any], backend: Backend) -> int | None:
    if model["type"] == "Unigram":
        return model.get("unk_id")
    return backend.token_to_id(model["unk_token"]) if model.get("unk_token") else None


def _byte_level(model: models.BPE) -> Backend:
    backend = Backend(model)
    split = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    backend.decoder = decoders.ByteLevel()
    return backend


def train_bpe(
    texts: Iterable[str],
    vocab_size: int,
    sample_bytes: int = SAMPLE_BYTES,
    special_tokens: Sequence[str] = (END_OF_TEXT,),
) -> Tokenizer:
    """A byte-level BPE of exactly `vocab_size` tokens, the special ones, which come first, among them.

    Reads `texts` up to the first one that brings `sample_bytes` together. The same texts give the same
    tokenizer. Raises DataError where the texts have too few different words for so many tokens.
    """
    sample: list[str] = []
    size = 0
    for text in texts:
        if size >= sample_bytes:
            break
        sample.append(text)
        size += len(text.encode())
    backend = _byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special_tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(sample, trainer)
    if backend.get_vocab_size() != vocab_size:
        raise DataError(
            f"tokenizer: {len(sample)} documents ({size:,} bytes) give only {backend.get_vocab_size()} tokens of "
            f"config.model.vocab_size={vocab_size}; add text or lower vocab_size"
        )
    return Tokenizer(backend)


def load_tokenizer(path: Path | str, vocab_size: int, end_of_text: str = "") -> Tokenizer:
    """A tokenizer from a Hugging Face tokenizer.json or a .tiktoken file (base64 token, rank; Qwen's split).

    `end_of_text` names the token that ends a document; empty: the first of `END_OF_TEXT_NAMES` that it has.

    Raises ConfigError for a file that is neither, one without an end-of-text token, and one with more
    tokens than the model's `vocab_size` rows.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(
            f"config.data.tokenizer={path}: no such file; expected `bpe`, a tokenizer.json or a .tiktoken"
        )
    backend = _read_tiktoken(path) if path.suffix == ".tiktoken" else _read_json(path)
    vocabulary = backend.get_vocab(with_added_tokens=True)
    if end_of_text and end_of_text not in vocabulary:
        special = [token.content for token in backend.get_added_tokens_decoder().values() if token.special]
        raise ConfigError(
            f"config.data.end_of_text={end_of_text}: {path} has no such token; its special tokens are "
            f"{', '.join(special[:20]) or 'none'}"
        )
    name = end_of_text or next((name for name in END_OF_TEXT_NAMES if name in vocabulary), None)
    if name is None:
        raise ConfigError(
            f"config.data.tokenizer={path}: no end-of-text token; looked for {', '.join(END_OF_TEXT_NAMES)}. Name "
            "it with config.data.end_of_text"
        )
    tokenizer = Tokenizer(backend, name)
    if tokenizer.vocab_size > vocab_size:
        raise ConfigError(
            f"config.data.tokenizer={path}: {tokenizer.vocab_size} token ids do not fit "
            f"config.model.vocab_size={vocab_size}"
        )
    return tokenizer


def load_run_tokenizer(config: Config, data: Path) -> Tokenizer:
    """The tokenizer of a run, from RUN/data. Raises as `load_tokenizer`."""
    return load_tokenizer(data / "tokenizer.json", config.model.vocab_size, config.data.end_of_text)


def _read_json(path: Path) -> Backend:
    try:
        return Backend.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises plain Exception
        reason = " ".join(str(error).split())
        raise ConfigError(f"config.data.tokenizer={path}: not a Hugging Face tokenizer.json: {reason}") from error


def _read_tiktoken(path: Path) -> Backend:
    """A BPE from ranks: wherever two tokens side by side make a third, the one of lowest rank is made first."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise ConfigError(
                f"config.data.tokenizer={path}:{number}: expected a base64 token and its rank: {error}"
            ) from error
    letter = byte_alphabet()
    words = {token: "".join(letter[byte] for byte in token) for token in ranks}
    merges: list[tuple[str, str]] = []
    for token in sorted(ranks, key=ranks.__getitem__):
        cuts = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        pairs = [pair for pair in cuts if pair[0] in ranks and pair[1] in ranks]
        pairs.sort(key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
        merges.extend((words[left], words[right]) for left, right in pairs)
    vocabulary = {words[token]: rank for token, rank in ranks.items()}
    backend = _byte_level(models.BPE(vocab=vocabulary, merges=merges))
    backend.add_special_tokens([END_OF_TEXT])
    return backend
