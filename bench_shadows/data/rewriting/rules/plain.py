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
    {**dict.fromkeys("‘’‚‛´", "'"), **dict.fromkeys("“”„‟«»", '"'), **dict.fromkeys("‐‑‒", "-")}
    | {"–": " - ", "—": " - ", "―": " - ", "…": "...", "\u00a0": " ", "\t": " ", "\u200b": "", "\ufeff": ""}
)
_SPACES = re.compile(r"(?<=\S)[ \f\v]+")
_LINE_ENDS = re.compile(r"[ \f\v]*(?:\r\n|\r|\n)")
_EMPTY_LINES = re.compile(r"\n{3,}")
_REPEATED = re.compile(r"([!?,;])\1+|\.{4,}|([-=*~_#+^])\2{3,}")


def layout(text: str) -> str:
    """Single spaces, at most one empty line, repeated signs cut; indentation stays, it is formatting."""
    text = _LINE_ENDS.sub("\n", _SPACES.sub(" ", text))
    text = _REPEATED.sub(lambda match: match[1] or (match[2] * 3 if match[2] else "..."), text)
    return _EMPTY_LINES.sub("\n\n", text).strip("\n").rstrip() + "\n"


def plain(text: str) -> str:
    """The text with one form of quotes, dashes, apostrophes and white space."""
    return layout(unicodedata.normalize("NFC", text).translate(_PUNCTUATION))


_FENCE = re.compile(r"\s*(?:```|~~~)")
_DIRECTIVE = re.compile(
    r"\s*\.\. (?:code|code-block|sourcecode|console|literalinclude|parsed-literal|math|image)::"
)


def blocks(text: str) -> list[tuple[bool, str]]:
    """[(literal?, lines)] of a text: code between fences, and what is indented after a line that ends in `::`.

    The parts put together are the text.
    """
    parts: list[tuple[bool, list[str]]] = [(False, [])]
    fenced, margin = False, -1  # a literal block lasts while lines are indented by more than its margin
    for line in text.splitlines(keepends=True):
        indentation = len(line) - len(line.lstrip())
        if _FENCE.match(line):
            literal, fenced = True, not fenced
        else:
            margin = margin if not line.strip() or indentation > margin else -1
            literal = fenced or margin >= 0
        if (
            margin < 0
            and not fenced
            and (_DIRECTIVE.match(line) or (line.rstrip().endswith("::") and ".. " not in line))
        ):
            margin = indentation
        if literal != parts[-1][0]:
            parts.append((literal, []))
        parts[-1][1].append(line)
    return [(literal, "".join(lines)) for literal, lines in parts if lines]
