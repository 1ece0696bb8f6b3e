"""What class a word is of, where its form says it alone: words of one class can stand in each other's place."""

import functools

# Adjectives and adverbs stand too freely: with most of them "a ... feeling" and "she wept ..." stay sentences.
_PARTS = ("NOUN", "VERB")
_CHINESE = {"n": "noun", "v": "verb"}
_SHORTEST = 4  # letters of an English word; shorter ones are abbreviations and remains of contractions


def word_class(word: str, language: str) -> str | None:
    """The class, such as `VERB VBD v` or `noun 2`; None where the word has none of these, or several.

    English: the only part of speech that lemminflect's dictionary has for the form, the Penn tags of the form, and
    whether a vowel begins it (it may follow "a" or "an"). Chinese: the part of speech of jieba's dictionary and
    the number of characters. Other languages have no classes here.
    """
    if language == "en":
        return _english(word)[0]
    if language == "zh" and len(word) > 1 and (tag := _jieba_tags().get(word)) in _CHINESE:
        return f"{_CHINESE[tag]} {len(word)}"
    return None


def stem(word: str, language: str) -> str:
    """What forms of one word have in common: the English lemma; a Chinese word is its own."""
    return _english(word)[1] if language == "en" else word


@functools.lru_cache(maxsize=2**17)
def _english(word: str) -> tuple[str | None, str]:
    import lemminflect

    if len(word) < _SHORTEST or not word.isascii():
        return None, word
    lemmas = lemminflect.getAllLemmas(word)
    if len(lemmas) != 1:
        return None, word
    [(part, [lemma, *_])] = lemmas.items()
    if part not in _PARTS:
        return None, lemma
    forms = lemminflect.getAllInflections(lemma, upos=part)
    tags = sorted(tag for tag, spellings in forms.items() if word in spellings)
    initial = "v" if word[0] in "aeiou" else "c"
    return (f"{part} {'/'.join(tags)} {initial}" if tags else None), lemma


@functools.lru_cache(maxsize=1)
def _jieba_tags() -> dict[str, str]:
    import jieba

    with jieba.get_dict_file() as file:
        entries = (line.decode("utf-8").split() for line in file)
        return {entry[0]: entry[2] for entry in entries if len(entry) == 3}
