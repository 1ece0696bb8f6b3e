"""One small interface over Hugging Face `tokenizers`: train a byte-level BPE, load one, encode, measure."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from bench_shadows.errors import ConfigError, DataError
from bench_shadows.files import atomic_path

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_NAMES = (END_OF_TEXT, "<|end_of_text|>", "<|end▁of▁sentence|>", "</s>", "<eos>", "[SEP]")
"""What released tokenizers call it, most specific first."""

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

    A special token's name inside a text is encoded as ordinary characters: text cannot end a document.
    """

    def __init__(self, backend: Backend, end_of_text: str = END_OF_TEXT):
        backend.encode_special_tokens = True
        self._backend = backend
        self.end_of_text_name = end_of_text
        self.end_of_text: int = backend.get_vocab(with_added_tokens=True)[end_of_text]

    @property
    def vocab_size(self) -> int:
        """One more than the highest id."""
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text, uint32 [tokens], nothing added; all cores are used."""
        encoded = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.asarray(one.ids, dtype=np.uint32) for one in encoded]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of token ids; special tokens have none."""
        return self._backend.decode([int(i) for i in ids], skip_special_tokens=True)

    @property
    def token_bytes(self) -> np.ndarray:
        """UTF-8 bytes that each token stands for, int64 [vocab_size]; 0 for special tokens and unused ids.

        Bits per byte = loss in nats / (ln 2 * bytes of the predicted tokens).
        """
        byte_level = '"ByteLevel"' in self._backend.to_str()
        special = set(self._backend.get_added_tokens_decoder())
        lengths = np.zeros(self.vocab_size, dtype=np.int64)
        for token, index in self._backend.get_vocab(with_added_tokens=True).items():
            if index not in special:
                lengths[index] = len(token) if byte_level else _piece_bytes(token)
        return lengths

    def save(self, path: Path | str) -> None:
        """Writes a tokenizer.json, atomically."""
        with atomic_path(path) as temporary:
            self._backend.save(str(temporary))


def _piece_bytes(token: str) -> int:
    """Bytes of a token that is not in the byte-level alphabet: `▁` is a space, `<0x0A>` one byte."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return 1
    return len(token.replace("▁", " ").encode())


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


def load_tokenizer(path: Path | str, vocab_size: int) -> Tokenizer:
    """A tokenizer from a Hugging Face tokenizer.json or a .tiktoken file (base64 token, rank; Qwen's split).

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
    end_of_text = next((name for name in END_OF_TEXT_NAMES if name in vocabulary), None)
    if end_of_text is None:
        raise ConfigError(f"config.data.tokenizer={path}: no end-of-text token; looked for {END_OF_TEXT_NAMES}")
    tokenizer = Tokenizer(backend, end_of_text)
    if tokenizer.vocab_size > vocab_size:
        raise ConfigError(
            f"config.data.tokenizer={path}: {tokenizer.vocab_size} token ids do not fit "
            f"config.model.vocab_size={vocab_size}"
        )
    return tokenizer


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
    letter = _byte_alphabet()
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


def _byte_alphabet() -> list[str]:
    """The character by which byte-level BPE writes each byte: printable Latin-1 as it is, others from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]
