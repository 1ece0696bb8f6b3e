"""English by lemma and frequency."""

import functools
import re
from collections.abc import Sequence

from bench_shadows.data.teacher.builtin.plain import Counter, plain, zipf

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


def rewrite_english(text: str, counter: Counter) -> str:
    text = plain(text, counter)
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
    frequency = zipf(word, "en")
    if frequency >= FUNCTION_WORD or len(word) < 4:
        return word
    lemmas = {lemma for lemmas in _lemmas(word).values() for lemma in lemmas if len(lemma) > 1}
    best = _most_frequent([word, *sorted(lemmas)])
    if zipf(best, "en") >= DERIVED_WORD:
        return best
    bases = [best.removesuffix(ending) + base for ending, base in _DERIVED if best.endswith(ending)]
    base = _most_frequent([best, *(base for base in bases if len(base) >= 4)])
    return base if zipf(base, "en") >= zipf(best, "en") + DERIVED_MARGIN else best


def _most_frequent(words: Sequence[str]) -> str:
    """The first of the most frequent English words."""
    return max(words, key=lambda word: zipf(word, "en"))


def _lemmas(word: str) -> dict[str, tuple[str, ...]]:
    import lemminflect

    return lemminflect.getAllLemmas(word)
