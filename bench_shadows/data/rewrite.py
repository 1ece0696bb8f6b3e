"""Condition D's built-in teacher: rewrites a document towards the frequent and the canonical, offline.

It stands in for the paper's 30B teacher (appendix A.1) and is honest about what it is: rules over word
frequencies and lexers, no understanding. It narrows support as the teacher does: fewer word types, one
layout, one set of names. Deterministic; the same document always gives the same text.

- English text: an inflected form becomes its lemma where the lemma is more frequent, a rare derived word
  the much more frequent word it comes from; contractions are written out; quotes, dashes and white space
  have one form. Names, numbers, acronyms and what looks like code, a path or an address stay.
- Chinese text: a rare word becomes a much more frequent word inside it; traditional characters become
  simplified; punctuation between Chinese characters is full-width, digits and letters half-width.
- Other text: punctuation and white space only.
- Code: the document's own names become v1, v2, ... by first appearance; comments go; layout is canonical.
- Exercises: byte for byte as they are.
"""

import dataclasses
import functools
import logging
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from bench_shadows.data.document import Document
from bench_shadows.data.teacher.outcome import Rewritten


def rewrite(document: Document) -> Document:
    """The document with its text rewritten; id, domain, language, kind and source stay."""
    result = rewrite_counted(document).document
    assert result is not None  # rules leave no document out
    return result


def rewrite_counted(document: Document) -> Rewritten:
    """`rewrite`, with what was changed; a text that would come out empty is kept as it was."""
    if document.kind == "exercise":
        return Rewritten(document, "exercise", 0, 0)
    counter = _Counter()
    if document.kind == "code":
        text = _code(document.text, document.language, counter)
        if text is None:
            return Rewritten(document, f"no lexer for {document.language}", 0, 0)
    else:
        text = _TEXT.get(document.language, _plain)(document.text, counter)
    if not text.strip():
        return Rewritten(document, "nothing left", counter.words, 0)
    return Rewritten(dataclasses.replace(document, text=text), "rewritten", counter.words, counter.changed)


@dataclasses.dataclass
class _Counter:
    words: int = 0
    changed: int = 0

    def count(self, before: str, after: str) -> str:
        self.words += 1
        self.changed += before != after
        return after


# ---- text of any language

_PUNCTUATION = str.maketrans(
    {**dict.fromkeys("‘’‚‛`´", "'"), **dict.fromkeys("“”„‟«»", '"'), **dict.fromkeys("‐‑‒", "-")}
    | {"–": " - ", "—": " - ", "―": " - ", "…": "...", "\u00a0": " ", "\t": " ", "\u200b": "", "\ufeff": ""}
)
_SPACES = re.compile(r"[ \f\v]+")
_LINE_ENDS = re.compile(r" ?(?:\r\n|\r|\n) ?")
_EMPTY_LINES = re.compile(r"\n{3,}")
_REPEATED = re.compile(r"([!?,;])\1+|\.{4,}|([-=*~_#+^])\2{3,}")


def _layout(text: str) -> str:
    """Single spaces, no indentation, at most one empty line, repeated signs cut."""
    text = _LINE_ENDS.sub("\n", _SPACES.sub(" ", text))
    text = _REPEATED.sub(lambda match: match[1] or (match[2] * 3 if match[2] else "..."), text)
    return _EMPTY_LINES.sub("\n\n", text).strip() + "\n"


def _plain(text: str, _: _Counter) -> str:
    return _layout(unicodedata.normalize("NFC", text).translate(_PUNCTUATION))


# ---- English

# A word that stands free: not part of an identifier, a path, an address, a call or an attribute.
_WORD = re.compile(r"(?<![\w./@\\$<&-])[A-Za-z]+(?:'[A-Za-z]+)?(?![\w@/\\=(-]|\.\w|::)")
_CONTRACTIONS = {
    "n't": " not", "'re": " are", "'ve": " have", "'ll": " will", "'m": " am", "'d": " would",
}  # fmt: skip
_IRREGULAR = {
    "can't": "can not", "cannot": "can not", "won't": "will not", "shan't": "shall not", "ain't": "is not",
    "let's": "let us", "'tis": "it is", "'twas": "it was",
}  # fmt: skip
# After these an 's is "is"; after a noun it is a possessive and stays.
_IS = frozenset(("it", "that", "he", "she", "what", "there", "here", "who", "where", "how", "this"))
FUNCTION_WORD = 6.0
"""Zipf frequency from which an English word stays as it is: the hundred or so most frequent."""
_DERIVED = (
    ("ly", ""), ("ily", "y"), ("ally", ""), ("ness", ""), ("iness", "y"), ("ment", ""), ("ful", ""), ("less", ""),
    ("able", ""), ("able", "e"), ("ation", "e"), ("ation", "ate"), ("ion", ""), ("ion", "e"), ("ity", ""),
    ("ity", "e"), ("er", ""), ("er", "e"), ("or", ""), ("or", "e"), ("ish", ""), ("ship", ""), ("al", ""),
)  # fmt: skip
DERIVED_WORD = 4.0
"""Zipf frequency below which an English word becomes the word that it is derived from ..."""
DERIVED_MARGIN = 0.7
"""... where that is so much more frequent (5 times)."""


def _english(text: str, counter: _Counter) -> str:
    text = _plain(text, counter)
    # A capitalised word is a common one if the document also has it in small letters; else it is a name.
    common = set(re.findall(r"\b[a-z]+\b", text))

    def replace(match: re.Match[str]) -> str:
        word = match[0]
        lower = word.lower()
        if word != lower and (not word[1:].islower() or lower.partition("'")[0] not in common):
            return counter.count(word, word)
        after = _english_word(lower)
        return counter.count(word, after if word == lower else after[0].upper() + after[1:])

    return _WORD.sub(replace, text)


@functools.lru_cache(maxsize=2**17)
def _english_word(word: str) -> str:
    """The canonical form of a word in small letters."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    for ending, full in _CONTRACTIONS.items():
        if word.endswith(ending):
            return word.removesuffix(ending) + full
    stem, _, ending = word.partition("'")
    if ending:
        return f"{stem} is" if ending == "s" and stem in _IS else word
    frequency = _zipf(word, "en")
    if frequency >= FUNCTION_WORD or len(word) < 4:
        return word
    lemmas = {lemma for lemmas in _lemmas(word).values() for lemma in lemmas if len(lemma) > 1}
    best = _most_frequent([word, *sorted(lemmas)])
    if _zipf(best, "en") >= DERIVED_WORD:
        return best
    bases = [best.removesuffix(ending) + base for ending, base in _DERIVED if best.endswith(ending)]
    base = _most_frequent([best, *(base for base in bases if len(base) >= 4)])
    return base if _zipf(base, "en") >= _zipf(best, "en") + DERIVED_MARGIN else best


def _most_frequent(words: Sequence[str]) -> str:
    """The first of the most frequent English words."""
    return max(words, key=lambda word: _zipf(word, "en"))


def _lemmas(word: str) -> dict[str, tuple[str, ...]]:
    import lemminflect

    return lemminflect.getAllLemmas(word)


def _zipf(word: str, language: str) -> float:
    """log10 of the word's occurrences in a billion words; 0 for an unknown one."""
    import wordfreq

    return wordfreq.zipf_frequency(word, language)


# ---- Chinese

_HAN_RUN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")
_HAN = r"[\u3400-\u4dbf\u4e00-\u9fff]"
_BETWEEN_HAN = re.compile(rf"(?<={_HAN})[ \u3000]+(?={_HAN})")
_ASCII_MARK = re.compile(rf"(?<={_HAN})(?:([,;:!?])|\.(?![A-Za-z0-9.]))")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code - 0xFEE0).isalnum()} | {
    0x3000: 32
}
_MARKS = {",": "，", ";": "；", ":": "：", "!": "！", "?": "？"}
_REPEATED_MARK = re.compile(r"([，。！？；：、～~!?,])\1+")
RARE_CHINESE = 4.5
"""Zipf frequency below which a Chinese word is replaced ..."""
MORE_FREQUENT = 1.0
"""... by a word inside it that is at least so much more frequent (10 times)."""


def _chinese(text: str, counter: _Counter) -> str:
    text = unicodedata.normalize("NFC", text).translate(_FULL_WIDTH)
    text = _BETWEEN_HAN.sub("", text)
    text = _REPEATED_MARK.sub(r"\1", text)
    text = _ASCII_MARK.sub(lambda match: _MARKS.get(match[1], "。"), text)
    return _layout(_HAN_RUN.sub(lambda run: _chinese_run(run[0], counter), text))


def _chinese_run(run: str, counter: _Counter) -> str:
    from wordfreq.chinese import simplify_chinese

    return "".join(counter.count(word, _chinese_word(simplify_chinese(word))) for word in _segment(run))


def _segment(run: str) -> list[str]:
    import jieba
    from wordfreq.chinese import jieba_tokenize

    jieba.setLogLevel(logging.WARNING)  # it reports the loading of its dictionary otherwise
    return jieba_tokenize(run)


@functools.lru_cache(maxsize=2**17)
def _chinese_word(word: str) -> str:
    """A rare word's most frequent beginning or end; of a word of three or more characters at least two stay."""
    frequency = _zipf(word, "zh")
    if len(word) < 2 or not 0 < frequency < RARE_CHINESE:  # what the list does not know may be a name
        return word
    shortest = 1 if len(word) == 2 else 2
    parts = [part for cut in range(shortest, len(word)) for part in (word[:cut], word[-cut:])]
    best = max(parts, key=lambda part: _zipf(part, "zh"))
    return best if _zipf(best, "zh") >= frequency + MORE_FREQUENT else word


# ---- code

_IDENTIFIER = re.compile(r"([$@%&]*)([^\W\d][\w'?!-]*)\Z")
_SPACE_RUNS = re.compile(r"(\s+)")
_INDENT = 4


def _code(text: str, language: str, counter: _Counter) -> str | None:
    """Code with canonical names and layout; None for a language without a lexer."""
    from pygments.token import Comment, String

    lexer = _lexer(language)
    if lexer is None:
        return None
    tokens = [(kind, value) for kind, value in lexer.get_tokens(text) if value]
    own = _own_names(tokens)
    lines = _Lines()
    for kind, value in tokens:
        if kind in Comment and kind not in Comment.Preproc and kind not in Comment.PreprocFile:
            lines.space("\n" if value.endswith("\n") else " ")
        elif kind in String or kind in Comment:
            lines.put(value)
        elif kind in _name_kinds() and (match := _IDENTIFIER.match(value)):
            lines.put(match[1] + counter.count(match[2], own.get(match[2], match[2])))
        else:
            for part in filter(None, _SPACE_RUNS.split(value)):
                (lines.space if part.isspace() else lines.put)(part)
    return lines.text()


@functools.lru_cache(maxsize=512)
def _lexer(language: str) -> Any:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


@functools.cache
def _name_kinds() -> frozenset[Any]:
    """Lexers' kinds of names that a programmer chose; builtins, modules, decorators, tags and magic are others."""
    from pygments.token import Name

    variables = (Name.Variable, Name.Variable.Class, Name.Variable.Global, Name.Variable.Instance)
    return frozenset((Name, Name.Function, Name.Class, Name.Other, Name.Attribute, Name.Property, *variables))


def _own_names(tokens: Sequence[tuple[Any, str]]) -> dict[str, str]:
    """{name: v1, v2, ...} of the document's own names, by first appearance.

    Imported modules stay. A name that only ever stands behind `.`, `->` or `::` belongs to somebody's library
    and stays too, unless it is a member of the object itself (`self.x`, `this.x`).
    """
    from pygments.token import Name

    modules = {part for kind, value in tokens if kind in Name.Namespace for part in value.split(".")}
    own: dict[str, str] = {}
    before = ("", "", "")  # the last three values that are no white space
    for kind, value in tokens:
        if value.isspace():
            continue
        if kind in _name_kinds() and (match := _IDENTIFIER.match(value)):
            arrow = before[1:] == ("-", ">")
            of_something = arrow or before[2] in (".", "->", "::", "?.", "&.")
            owner = before[0] if arrow else before[1]
            free = not of_something or owner.lstrip("$") in ("self", "this", "cls")
            if free and match[2] not in modules:
                own.setdefault(match[2], f"v{len(own) + 1}")
        before = (*before[1:], value)
    return own


class _Lines:
    """Puts code together with single spaces, four spaces a level of indentation, single empty lines."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._space = ""  # white space since the last part
        self._levels = [0]  # widths of the indentations that are open

    def space(self, text: str) -> None:
        self._space += text

    def put(self, text: str) -> None:
        indentation = self._space.rpartition("\n")[2]
        lines = self._space.count("\n")
        if not self._parts or lines:
            self._parts.append("\n" * min(lines, 2) if self._parts else "")
            self._parts.append(" " * (_INDENT * self._level(len(indentation.expandtabs(_INDENT)))))
        elif self._space:
            self._parts.append(" ")
        self._parts.append(text)
        self._space = "\n" * text.endswith("\n") if text.strip() else ""

    def _level(self, width: int) -> int:
        while self._levels[-1] > width:
            self._levels.pop()
        if self._levels[-1] < width:
            self._levels.append(width)
        return len(self._levels) - 1

    def text(self) -> str:
        return "".join(self._parts).rstrip() + "\n"


_TEXT: dict[str, Callable[[str, _Counter], str]] = {"en": _english, "zh": _chinese}
