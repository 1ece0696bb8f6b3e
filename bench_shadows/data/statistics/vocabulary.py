"""Words of a text, as numbers: what a reader counts, whatever the tokenizer."""

import functools
import logging
import re
from collections.abc import Iterable

import numpy as np

# Letters and what joins them: "don't" is one word, "3" and "_" are none. In code names are words: v1, get_config.
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_NAME = re.compile(r"[^\W\d]\w*")


def split(text: str, language: str, kind: str) -> list[str]:
    """The words of a text in small letters; of code its names as they are written; of Chinese what jieba finds."""
    if kind == "code":
        return _NAME.findall(text)
    if language == "zh":
        import jieba
        from wordfreq import tokenize

        jieba.setLogLevel(logging.WARNING)  # it reports the loading of its dictionary otherwise
        return tokenize(text, "zh")
    return _WORD.findall(text.casefold().replace("’", "'"))


class Vocabulary:
    """Numbers for words, in the order of their first appearance."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self, words: Iterable[str]) -> np.ndarray:
        """The number of each word, int32 [words]; words that are new are added."""
        known = self._numbers
        return np.array([known.setdefault(word, len(known)) for word in words], dtype=np.int32)

    def words(self) -> list[str]:
        """All words, by number."""
        return list(self._numbers)

    def zipf(self, language: str) -> np.ndarray:
        """Each word's frequency in a language on the Zipf scale, float64 [words]; NaN where wordfreq has none.

        log10 of the occurrences in a billion words: 7 "the", 3 "arithmetic" (van Heuven et al. 2014; wordfreq).
        """
        known = _frequencies(language)
        frequencies = np.array([known.get(word, np.nan) for word in self._numbers], dtype=np.float64)
        return np.log10(frequencies) + 9


@functools.lru_cache(maxsize=4)
def _frequencies(language: str) -> dict[str, float]:
    from wordfreq import available_languages, get_frequency_dict

    return get_frequency_dict(language, wordlist="best") if language in available_languages("best") else {}
