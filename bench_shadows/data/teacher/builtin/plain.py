"""Text of any language: one form of punctuation and white space; and what the other rules share."""

import dataclasses
import functools
import re
import unicodedata


@dataclasses.dataclass
class Counter:
    """Words that were looked at, and how many of them became another."""

    words: int = 0
    changed: int = 0

    def count(self, before: str, after: str) -> str:
        """Counts one word and gives back what it became."""
        self.words += 1
        self.changed += before != after
        return after


@functools.lru_cache(maxsize=2**18)
def zipf(word: str, language: str) -> float:
    """log10 of the word's occurrences in a billion words; 0 for an unknown one (wordfreq)."""
    import wordfreq

    return wordfreq.zipf_frequency(word, language)


_PUNCTUATION = str.maketrans(
    {**dict.fromkeys("‘’‚‛`´", "'"), **dict.fromkeys("“”„‟«»", '"'), **dict.fromkeys("‐‑‒", "-")}
    | {"–": " - ", "—": " - ", "―": " - ", "…": "...", "\u00a0": " ", "\t": " ", "\u200b": "", "\ufeff": ""}
)
_SPACES = re.compile(r"[ \f\v]+")
_LINE_ENDS = re.compile(r" ?(?:\r\n|\r|\n) ?")
_EMPTY_LINES = re.compile(r"\n{3,}")
_REPEATED = re.compile(r"([!?,;])\1+|\.{4,}|([-=*~_#+^])\2{3,}")


def layout(text: str) -> str:
    """Single spaces, no indentation, at most one empty line, repeated signs cut."""
    text = _LINE_ENDS.sub("\n", _SPACES.sub(" ", text))
    text = _REPEATED.sub(lambda match: match[1] or (match[2] * 3 if match[2] else "..."), text)
    return _EMPTY_LINES.sub("\n\n", text).strip() + "\n"


def plain(text: str, _: Counter) -> str:
    return layout(unicodedata.normalize("NFC", text).translate(_PUNCTUATION))
