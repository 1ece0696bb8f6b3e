"""How many bytes of text each token of a tokenizer stands for: what bits per byte are counted in."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from tokenizers import Tokenizer as Backend

_SPACES = ("▁", "Ġ")  # as which Metaspace and byte-level vocabularies write a space
_NEIGHBOUR = "a"  # a token beside which another is decoded


def count_bytes(backend: Backend, file: dict[str, Any], without: set[int]) -> tuple[np.ndarray, np.ndarray]:
    """UTF-8 bytes of every token, where it follows another one and where it is the first of a text.

    A word's space is counted with it. The two differ where a space is put before a text that begins without one,
    and where words are joined by spaces. Of a vocabulary that is not of bytes the tokenizer's own decoder tells.

    Args:
      file: what the tokenizer.json holds.
      without: ids that stand for no text.
    Returns:
      Two arrays int64 [highest id + 1], 0 for special tokens and ids that are not used.
    """
    vocabulary = backend.get_vocab(with_added_tokens=True)
    added = backend.get_added_tokens_decoder()
    without = without | {index for index, token in added.items() if token.special}
    following = np.zeros(max(vocabulary.values()) + 1, dtype=np.int64)
    first = np.zeros_like(following)
    by_byte, put = is_byte_level(file), puts_space(backend)
    letters = set(byte_alphabet())
    for token, index in vocabulary.items():
        if index in without or not token:
            continue
        if by_byte:
            spelt = index not in added and letters.issuperset(token)
            following[index] = len(token) if spelt else len(token.encode())
            first[index] = following[index] - (put and spelt and token[0] in _SPACES)
        elif _is_byte(token, file):
            following[index] = first[index] = 1
        else:
            following[index] = max(1, _decoded(backend, _NEIGHBOUR, token, _NEIGHBOUR) - _pair(backend))
            first[index] = _decoded(backend, token, _NEIGHBOUR) - (_pair(backend) - len(_NEIGHBOUR))
    return following, first


def is_byte_level(file: dict[str, Any]) -> bool:
    """Whether the vocabulary's letters are bytes, as in GPT-2's."""
    steps = (file.get(name) for name in ("normalizer", "pre_tokenizer", "decoder"))
    return any(step.get("type") == "ByteLevel" for part in steps for step in _steps(part))


def puts_space(backend: Backend) -> bool:
    """Whether a text that begins without a space gets one, as in Llama 2."""
    tokens = backend.encode("a", add_special_tokens=False).tokens
    return bool(tokens) and tokens[0][0] in _SPACES


def byte_alphabet() -> list[str]:
    """The character by which byte-level BPE writes each byte: printable Latin-1 as it is, others from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def _steps(part: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A part of the file and, of a sequence, all that it is made of."""
    if part:
        yield part
        for name in ("normalizers", "pretokenizers", "decoders"):
            for inner in part.get(name, ()):
                yield from _steps(inner)


def _is_byte(token: str, file: dict[str, Any]) -> bool:
    fallback = file["model"].get("byte_fallback", False)
    return fallback and len(token) == 6 and token.startswith("<0x") and token.endswith(">")


def _decoded(backend: Backend, *tokens: str) -> int:
    """Bytes of the text that tokens make together."""
    if backend.decoder is None:
        return len(" ".join(tokens).encode())
    return len(backend.decoder.decode(list(tokens)).encode())


def _pair(backend: Backend) -> int:
    return _decoded(backend, _NEIGHBOUR, _NEIGHBOUR)
