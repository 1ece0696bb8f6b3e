"""Whole sentences of a text, and which words in them can be replaced by which others.

A word's class is what its form says alone: words of one class can stand in each other's place.
"""

import functools
import re
from collections import Counter
from collections.abc import Iterator

from bench_shadows.data.statistics import vocabulary

_PARAGRAPH = re.compile(r"\n[ \t]*\n|\n(?=- )")  # in the corpus' dialogues every turn begins with a dash
_ENGLISH = re.compile(r"[^.!?]+[.!?]+[\"'’”)]*(?=\s|$)")
_ENGLISH_PROSE = re.compile(r"[A-Z][A-Za-z ,;:'’\"()—–-]*[.!?]+[\"'’”)]*")
_ABBREVIATION = re.compile(r"\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|St|Prof|Gen|Col|Capt|vs|etc|cf|No|Fig)\.$")
_ALONE = re.compile(r"[\w'’-]+")  # "self-help" and "o'clock" are one word, and stay whole
_ENGLISH_WORDS = range(6, 21)
_CHINESE = re.compile(r"[^。！？!?\n]+[。！？!?]+")
_CHINESE_PROSE = re.compile(r"[\u4e00-\u9fff，、；：“”《》（）…]+[。！？!?]+")
_CHINESE_CHARACTERS = range(10, 41)
# Adjectives and adverbs stand too freely: with most of them "a ... feeling" and "she wept ..." stay sentences.
_PARTS = ("NOUN", "VERB")
_CHINESE_PARTS = {"n": "noun", "v": "verb"}
_SHORTEST = 4  # letters of an English word; shorter ones are abbreviations and remains of contractions


def sentences(text: str, language: str) -> Iterator[str]:
    """The sentences of middle length (6 to 20 words, in Chinese 10 to 40 characters) that are nothing but prose.

    With digits, markup, an unclosed bracket or a quotation mark alone they are left out. Line breaks become
    spaces. A language that is neither English nor Chinese gives none.
    """
    if language == "zh":
        for match in _CHINESE.finditer(text):
            sentence = match.group().strip()
            if len(sentence) in _CHINESE_CHARACTERS and _CHINESE_PROSE.fullmatch(sentence):
                yield sentence
    elif language == "en":
        for paragraph in _PARAGRAPH.split(text):
            for match in _ENGLISH.finditer(paragraph.removeprefix("- ")):
                sentence = " ".join(match.group().split())
                if len(sentence.split()) in _ENGLISH_WORDS and _is_english_prose(sentence):
                    yield sentence


def _is_english_prose(sentence: str) -> bool:
    closed = sentence.count("(") == sentence.count(")") and sentence.count('"') % 2 == 0
    return closed and bool(_ENGLISH_PROSE.fullmatch(sentence)) and not _ABBREVIATION.search(sentence)


def replaceable(sentence: str, language: str) -> Iterator[str]:
    """The words that stand once in a sentence, in small letters and by themselves, in their order."""
    if language == "zh":
        found = vocabulary.split(sentence, language, "text")
        yield from (word for word in found if sentence.count(word) == 1)
        return
    found = _ALONE.findall(sentence)
    times = Counter(word.casefold() for word in found)
    yield from (word for word in found if word.isalpha() and word.islower() and times[word] == 1)


def replaced(sentence: str, word: str, other: str, language: str) -> str:
    """The sentence with `other` where `word` stands; `word` is one of its replaceable ones."""
    if language == "zh":
        return sentence.replace(word, other)
    return _ALONE.sub(lambda match: other if match.group() == word else match.group(), sentence)


def word_class(word: str, language: str) -> str | None:
    """The class, such as `VERB VBD v` or `noun 2`; None where the word has none of these, or several.

    English: the only part of speech that lemminflect's dictionary has for the form, the Penn tags of the form, and
    whether a vowel begins it (it may follow "a" or "an"). Chinese: the part of speech of jieba's dictionary and
    the number of characters. Other languages have no classes here.
    """
    if language == "en":
        return _english(word)[0]
    if language == "zh" and len(word) > 1 and (tag := _jieba_tags().get(word)) in _CHINESE_PARTS:
        return f"{_CHINESE_PARTS[tag]} {len(word)}"
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
