"""English by lemma and more frequent synonym, sentence by sentence in one form.

What happens to a text, in order: contractions are written out; phrases that join sentences are one of few
(`_PHRASES`); a semicolon before a clause with its own subject ends the sentence; then each word becomes its
canonical form (`_canonical`), and the article before it is made to fit.

What stays: numbers; words with a capital inside a sentence, and at its start if the document has them in small
letters nowhere; what looks like code, a path or an address; code blocks. A word that the document also uses in
code is a term: only its inflection goes. Passives and inversions stay: turning them safely needs a parser.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Sequence
from importlib import resources

from bench_shadows.data.rewriting.rules.plain import Counter, blocks, plain, zipf

# A word, with its article, that stands free: no part of an identifier, a path, an address, a call or a field ...
_ARTICLE = r"(?:(?<![\w'./-])([Aa]n?) )?"
_WORD = re.compile(_ARTICLE + r"(?<![\w./@\\$<&`:-])(?<!\w')([A-Za-z]+)('s)?(?![\w@/\\=(`-]|\.\w|::\w|'[A-Za-z])")
# ... and, where a document has no code, in a compound (`half-opened`) or emphasised (`_opened_`) too.
_WORD_OF_PROSE = re.compile(
    _ARTICLE + r"(?<![^\W_])(?<![./@\\$<&:])(?<!\w')([A-Za-z]+)('s)?(?![^\W_]|[@/\\=]|\.\w|'[A-Za-z])"
)
_SMALL = re.compile(r"(?<![\w'])[a-z]+")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")  # a capital inside a sentence
# Marks of code; then the words that it touches.
_CODE_MARK = re.compile(r"`|::|[a-z]_[a-z]|\w\(\)|[a-z]=[\w\"']|\$[a-z]")
_CODE = re.compile(r"[\w.$]*(?:`[\w.]+|[a-z]_[a-z]|\w\(\)|[a-z]=[\w\"']|::)[\w.]*")
# What stands before a word at the start of a sentence, titles and initials apart.
_START = re.compile(
    r"(?:\A|\n\n|(?<!\bMr)(?<!\bMrs)(?<!\bDr)(?<!\bSt)(?<!\b[A-Z])[.!?:;][\"')\]]*\s+|[\"(])[\"'(\[]*\Z"
)
_CLAUSE = re.compile(
    r"(?<=[a-z]);(\s+)((?:and |but )?(?:I|he|she|it|we|you|they|there|this|these|those|the|in|if|when)\b)"
)
_DASH = re.compile(r"(?<=[\w,;:.!?\"')])--(?=[\w\"'(])|(?<= )--(?= )")

_NOT = {"can't": "can not", "cannot": "can not", "won't": "will not", "shan't": "shall not", "ain't": "is not"}
_SHORT = {"'re": " are", "'ve": " have", "'ll": " will", "'m": " am"}
# After these an 's is "is"; after a noun it is a possessive and stays.
_CONTRACTION = re.compile(
    r"\b(?:(can't|cannot|won't|shan't|ain't)|([a-z]+)n't|(i|you|he|she|it|we|they|that|there|who|what)('re|'ve|'ll|'m)"
    r"|(it|that|he|she|what|there|here|who|where|how)'s|let's|'tis|'twas)(?![\w'])",
    re.IGNORECASE,
)
_HAS = re.compile(r" (?:just |already |never |always )?(?:been|got|gone|come|become|had|made|taken|arrived)\b")
_PHRASES = {
    "in order to": "to", "so as to": "to", "as well as": "and", "due to the fact that": "because",
    "owing to the fact that": "because", "in spite of": "despite", "with regard to": "about",
    "with respect to": "about", "in regard to": "about", "for instance": "for example", "e.g.": "for example",
    "i.e.": "that is", "on account of": "because of", "by reason of": "because of", "prior to": "before",
    "subsequent to": "after", "at the present time": "now", "by means of": "by", "in the event that": "if",
    "a great many": "many", "a large number of": "many", "a great number of": "many", "the majority of": "most",
    "is able to": "can", "are able to": "can", "was able to": "could", "were able to": "could",
    "in the midst of": "among", "for the purpose of": "for", "in addition,": "also,", "as a result,": "so,",
    "in other words": "that is", "on the other hand": "but", "in the same way": "so", "as soon as": "when",
}  # fmt: skip
_PHRASE = re.compile(r"(?<![\w.])(?:" + "|".join(map(re.escape, _PHRASES)) + r")(?!\w)", re.IGNORECASE)

LEMMA_MARGIN = 1.5
"""An inflected form becomes its lemma unless it is so much more frequent (30 times)."""
FUNCTION_WORD = 6.0
"""Zipf frequency from which an English word stays as it is: the hundred or so most frequent."""
RARE_WORD = 4.0
"""Zipf frequency below which an English word becomes a plainer one, or the word that it is derived from ..."""
DERIVED_MARGIN = 0.7
"""... where that is so much more frequent (5 times)."""
NEGATED_MARGIN = 1.0
"""A rare `unreal` becomes `not real` where that is so much more frequent (10 times)."""
_DERIVED = (
    ("ly", ""), ("ily", "y"), ("ally", ""), ("ically", "ic"), ("ness", ""), ("iness", "y"), ("ity", ""),
    ("ity", "e"), ("ility", "le"), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e"), ("ise", "ize"),
    ("isation", "ization"),
)  # fmt: skip


def rewrite_english(text: str, counter: Counter) -> str:
    """The text in fewer and more frequent forms; code blocks of a documentation page stay as they are."""
    text = plain(text)
    vocabulary = _Vocabulary(set(_SMALL.findall(text)), set(_NAME.findall(text)), _terms(text))
    return "".join(part if literal else _prose(part, vocabulary, counter) for literal, part in blocks(text))


@dataclasses.dataclass(frozen=True)
class _Vocabulary:
    """A document's words in small letters, its words with a capital inside a sentence, its words in code."""

    common: set[str]
    names: set[str]
    terms: set[str]


def _prose(text: str, vocabulary: _Vocabulary, counter: Counter) -> str:
    common, names, terms = vocabulary.common, vocabulary.names, vocabulary.terms
    text = _DASH.sub(" - ", text)
    text = _CONTRACTION.sub(_as_written(_written_out), text)
    text = _PHRASE.sub(_as_written(lambda match: _PHRASES[match[0].lower()]), text)
    text = _CLAUSE.sub(lambda match: f".{match[1]}{match[2][0].upper()}{match[2][1:]}", text)

    def is_name(match: re.Match[str], word: str, lower: str) -> bool:
        if not word[1:].islower():
            return lower not in common or len(word) <= 3
        return not _begins(match) or not (lower in common or (word not in names and _lemma(lower) in common))

    def replace(match: re.Match[str]) -> str:
        article, word, possessive = match.groups()
        lower = word.lower()
        if word != lower and is_name(match, word, lower):
            return counter.count(match[0], match[0])
        after = _canonical(lower, lower in terms or _lemma(lower) in terms) if terms else _canonical(lower, False)
        counter.count(lower, after)
        if after == lower:
            return match[0]
        if word != lower:
            after = after[0].upper() + after[1:] if word[1:].islower() else after.upper()
        return (f"{_article(article, after)} " if article else "") + after + (possessive or "")

    return (_WORD if terms else _WORD_OF_PROSE).sub(replace, text)


def _terms(text: str) -> set[str]:
    """The words that the document also uses in code."""
    lines = (line for line in text.split("\n") if _CODE_MARK.search(line) and "//" not in line)
    code = (part for line in lines for part in _CODE.findall(line))
    return {word for part in code for word in re.findall(r"[a-z]+", part.lower())}


def _begins(match: re.Match[str]) -> bool:
    """Whether the word begins a sentence."""
    start = match.start(2)
    return bool(_START.search(match.string[max(0, start - 12) : start])) if start else True


def _as_written(replacement: Callable[[re.Match[str]], str]) -> Callable[[re.Match[str]], str]:
    """The replacement with a capital where what it replaces has one."""

    def replace(match: re.Match[str]) -> str:
        after = replacement(match)
        return after[0].upper() + after[1:] if match[0][0].isupper() else after

    return replace


def _written_out(match: re.Match[str]) -> str:
    whole = match[0].lower()
    if match[1]:
        return _NOT[whole]
    if match[2]:
        return match[2].lower() + " not"
    if match[3]:
        return match[3].lower() + _SHORT[match[4].lower()]
    if match[5]:
        return match[5].lower() + (" has" if _HAS.match(match.string, match.end()) else " is")
    return {"let's": "let us", "'tis": "it is", "'twas": "it was"}[whole]


def _article(article: str, after: str) -> str:
    vowel = re.match(
        r"(?:[aeio]|u(?!ni(?!n|m)|s[aeiu]|t[ei])|hour|hono|honest|heir)(?!u|ne\b|nce\b)", after.lower()
    )
    return article[0] + ("n" if vowel else "")


@functools.lru_cache(maxsize=2**18)
def _canonical(word: str, term: bool) -> str:
    """The form that stands for a word in small letters: one or two words.

    Its lemma where that is more frequent; then, for a rare word that is no term of the document, a plainer
    synonym, the word it is derived from, or `not` and its opposite.
    """
    if word in _plainer():
        return _plainer()[word]
    if zipf(word, "en") >= FUNCTION_WORD or len(word) < 4:
        return word
    degree = _degree(word)
    if degree:
        return degree
    best = _lemma(word)
    if term or zipf(best, "en") >= RARE_WORD:
        return best
    forms = sorted({best, *_all_lemmas(word)}, key=lambda form: (form != best, -zipf(form, "en"), form))
    if best.endswith(("ed", "ing")):  # of an adjective and a verb the verb
        forms.reverse()
    for change in (_synonyms().get, _negated, _derived):
        for form in forms:
            if after := change(form):
                return after
    return best


@functools.lru_cache(maxsize=2**18)
def _lemma(word: str) -> str:
    """The most frequent lemma of a word, or the word where it is a more frequent lemma itself."""
    lemmas = _all_lemmas(word)
    best = _most_frequent(lemmas or [word])
    if word in lemmas or zipf(best, "en") < zipf(word, "en") - LEMMA_MARGIN:
        return _most_frequent([word, best])
    return best


def _all_lemmas(word: str) -> list[str]:
    return sorted({lemma for lemmas in _lemmas(word).values() for lemma in lemmas if len(lemma) > 1})


def _degree(word: str) -> str | None:
    """`more large` for `larger`, `most large` for `largest`; the irregular ones stay."""
    ending = next((ending for ending in ("er", "est") if word.endswith(ending)), None)
    if not ending:
        return None
    lemmas = _lemmas(word)
    adjectives = [lemma for lemma in lemmas.get("ADJ", ()) if lemma != word and zipf(lemma, "en") >= 3]
    if set(lemmas) - {"ADJ", "ADV"} or not adjectives or word in lemmas.get("ADJ", ()):
        return None
    return ("more " if ending == "er" else "most ") + adjectives[0]


def _negated(word: str) -> str | None:
    if word.endswith("less") and zipf(word[:-4], "en") >= zipf(word, "en"):
        return f"without {word[:-4]}"
    rest = word.removeprefix("un").removeprefix("non")
    if rest == word or len(rest) < 4 or set(_lemmas(word)) - {"ADJ", "ADV"}:
        return None
    if not rest.endswith(("ed", "ing", "able", "ful")) and "ADJ" not in _lemmas(rest):
        return None
    return f"not {rest}" if zipf(rest, "en") >= max(3.0, zipf(word, "en") + NEGATED_MARGIN) else None


def _derived(word: str) -> str | None:
    bases = [word.removesuffix(ending) + base for ending, base in _DERIVED if word.endswith(ending)]
    if word.endswith("eth") and not _lemmas(word):  # cometh, giveth
        bases += [base for base in (word[:-3], word[:-2]) if "VERB" in _lemmas(base)]
    base = _most_frequent([word, *(base for base in bases if len(base) >= 4)])
    return base if zipf(base, "en") >= zipf(word, "en") + DERIVED_MARGIN else None


def _most_frequent(words: Sequence[str]) -> str:
    """The first of the most frequent English words."""
    return max(words, key=lambda word: zipf(word, "en"))


def _lemmas(word: str) -> dict[str, tuple[str, ...]]:
    import lemminflect

    return lemminflect.getAllLemmas(word)


@functools.cache
def _plainer() -> dict[str, str]:
    """{old or formal word: plain one}: our own list. A word that stands there for itself is kept: its lemma would
    say something else (`would`, `worse`, `according`).
    """
    return _table("plain.tsv")


@functools.cache
def _synonyms() -> dict[str, str]:
    """{rare word: more frequent synonym}, derived from WordNet by scripts/derive_synonyms.py."""
    return _table("synonyms.tsv")


def _table(name: str) -> dict[str, str]:
    lines = resources.files(__package__).joinpath(name).read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines if line and not line.startswith("#"))
    return {word: plainer for word, plainer in rows}
