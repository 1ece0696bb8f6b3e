"""How often the detectors of `bench_shadows/data/corpus/detect.py` are wrong, and how many MB/s they read.

    python scripts/measure_detectors.py [--documents=2700] [--without-magika]

The samples are labelled: the built-in corpus by its recipe (kind, language), and Django's translations (in the
recipe's archive of Django) by their folder, cut to lengths of 30 to 1,000 characters. Prints confusion tables of
the kind, of the natural language and of the programming language, then the speed of each detector and, for
comparison, of a byte-level BPE of 4,096 tokens that was trained on the same documents. A minute, by default.
"""

import argparse
import random
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from bench_shadows.data.corpus import detect, languages
from bench_shadows.data.corpus.builtin import archives, builtin
from bench_shadows.data.corpus.document import KINDS, Document
from bench_shadows.data.rows.tokenizer import train_bpe
from bench_shadows.files import cache_folder

LENGTHS = (30, 100, 300, 1000)  # characters of the translations
EACH = 20  # texts of each language and length


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=2700, help="documents of the built-in corpus")
    parser.add_argument("--without-magika", action="store_true", help="as where the extra `detect` is missing")
    options = parser.parse_args()
    if options.without_magika:
        sys.modules["magika"] = None  # type: ignore[assignment]
    documents = _sample(builtin.builtin_documents(), options.documents)
    _kinds(documents)
    _natural(documents)
    _translations()
    _programming([document for document in documents if document.kind == "code"])
    _speed(documents)


def _sample(documents: Iterable[Document], size: int) -> list[Document]:
    """The same number of documents of every domain, as far as it has them."""
    domains: defaultdict[str, list[Document]] = defaultdict(list)
    for document in documents:
        domains[document.domain].append(document)
    chosen = random.Random(0)
    share = size // len(domains)
    return [one for group in domains.values() for one in chosen.sample(group, min(share, len(group)))]


def kind_of(text: str) -> str:
    """The kind as `documents.py` finds it."""
    if detect.is_exercise(text):
        return "exercise"
    return "code" if detect.code(text).is_code else "text"


def _kinds(documents: Sequence[Document]) -> None:
    table = Counter((document.domain, document.kind, kind_of(document.text)) for document in documents)
    print(f"\nkind, {len(documents):,} documents: share that is called ...")
    print(f"{'domain':16}{'is':10}" + "".join(f"{kind:>10}" for kind in KINDS) + f"{'documents':>12}")
    for domain, kind in dict.fromkeys((document.domain, document.kind) for document in documents):
        total = sum(table[domain, kind, found] for found in KINDS)
        shares = "".join(f"{table[domain, kind, found] / total:10.1%}" for found in KINDS)
        print(f"{domain:16}{kind:10}{shares}{total:12,}")


def _natural(documents: Sequence[Document]) -> None:
    print("\nnatural language of the built-in corpus: right, and what it was taken for")
    for language in ("en", "zh"):
        texts = [document.text for document in documents if document.language == language]
        for length in (*LENGTHS, None):
            _line(f"{language}, {length or 'all'} characters", language, [text.strip()[:length] for text in texts])


def _line(label: str, language: str, texts: Sequence[str]) -> None:
    found = Counter(detect.natural_language(text) for text in texts)
    wrong = ", ".join(f"{name} {count}" for name, count in found.most_common(6) if name != language)
    print(f"{label:28}{found[language] / max(1, len(texts)):8.1%} of {len(texts):,}   {wrong}")


def _translations() -> None:
    print("\nnatural language of Django's translations: right, and the commonest mistakes")
    samples = list(_translated_texts())
    for length in LENGTHS:
        pairs = [(language, detect.natural_language(text)) for language, size, text in samples if size == length]
        right = sum(language == found for language, found in pairs)
        mistakes = Counter(f"{language} as {found}" for language, found in pairs if language != found)
        shown = ", ".join(f"{name} {count}" for name, count in mistakes.most_common(6))
        names = len({language for language, _ in pairs})
        print(f"{length:5} characters{right / len(pairs):10.1%} of {len(pairs):,} in {names} languages   {shown}")


def _translated_texts() -> Iterator[tuple[str, int, str]]:
    """(language, length, text of that length) of the languages that py3langid knows."""
    import py3langid

    known = {languages.natural(name) for name, _ in py3langid.rank("")}
    [archive] = [archive for archive, _ in builtin.load_recipe() if archive.name == "django"]
    path = archives.fetch([archive], cache_folder() / "archives")[archive]
    strings: defaultdict[str, list[str]] = defaultdict(list)
    for name, data in archives.members(path, archive):
        if found := re.search(r"/locale/(\w+)/LC_MESSAGES/django\.po$", name):
            language = languages.natural(found[1].partition("_")[0])
            if language in known:
                strings[str(language)] += _messages(data.decode("utf-8"))
    for language, messages in sorted(strings.items()):
        random.Random(language).shuffle(messages)
        for length in LENGTHS:
            rest = "\n".join(messages)
            for start in range(0, min(len(rest) - length, EACH * length), length):
                yield language, length, rest[start : start + length]


def _messages(catalogue: str) -> Iterator[str]:
    """The translated messages of a gettext catalogue, without placeholders and markup."""
    for block in catalogue.split("\n\n")[1:]:
        found = re.search(r'(?ms)^msgstr(?:\[0\])? ((?:"[^\n]*"\n?)+)', block)
        if found and "fuzzy" not in block:
            text = "".join(re.findall(r'"(.*)"', found[1])).replace("\\n", " ").replace('\\"', '"')
            text = re.sub(r"%\(\w+\)[sd]|%[sd]|\{\w*\}|<[^>]+>", "", text)
            if len(text) > 20:
                yield text


def _programming(documents: Sequence[Document]) -> None:
    print("\nprogramming language: of the documents of each, right, unknown, and what it was taken for")
    languages_of: defaultdict[str, list[str]] = defaultdict(list)
    for document in documents:
        languages_of[languages.of_code(document.language) or document.language].append(document.text)
    everything: Counter[str] = Counter()
    for language, texts in sorted(languages_of.items(), key=lambda item: -len(item[1])):
        found = Counter(detect.code(text, certain=True).language for text in texts)
        unknown = found.pop(detect.UNKNOWN, 0)
        everything += Counter(right=found[language], unknown=unknown, all=len(texts))
        if len(texts) >= 4:
            wrong = ", ".join(f"{name} {count}" for name, count in found.most_common(4) if name != language)
            print(f"{language:16}{found[language]:5} {unknown:5} of {len(texts):4}   {wrong}")
    wrong_share = 1 - (everything["right"] + everything["unknown"]) / everything["all"]
    print(
        f"{len(languages_of)} languages: right {everything['right'] / everything['all']:.1%}, "
        f"unknown {everything['unknown'] / everything['all']:.1%}, wrong {wrong_share:.1%}"
    )


def _speed(documents: Sequence[Document]) -> None:
    print("\nspeed on one thread, MB of text in a second of CPU time")
    texts = [document.text for document in documents]
    random.Random(0).shuffle(texts)
    prose = [document.text for document in documents if document.domain in ("prose", "plays", "scripture")]
    tokenizer = train_bpe(texts[:1000], 4096)
    natural = [document.text for document in documents if document.kind != "code"]
    runs: list[tuple[str, Callable[[str], object], list[str]]] = [
        ("exercise by rules", detect.is_exercise, texts),
        ("kind, rules and magika", kind_of, texts),
        ("kind, prose only", kind_of, prose),
        ("natural language", detect.natural_language, natural),
        ("tokenisation (BPE, 4,096)", lambda text: tokenizer.encode_batch([text]), texts),
    ]
    for label, function, chosen in runs:
        function(chosen[0])  # models are loaded
        began = time.process_time()
        for text in chosen:
            function(text)
        seconds = time.process_time() - began
        megabytes = sum(len(text.encode()) for text in chosen) / 1e6
        print(f"{label:28}{megabytes / seconds:8.1f} MB/s   {seconds / len(chosen) * 1e3:.3f} ms a document")


if __name__ == "__main__":
    main()
