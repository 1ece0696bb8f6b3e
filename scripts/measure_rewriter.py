"""Measures what the built-in teacher does to the built-in corpus.

    python scripts/measure_rewriter.py [--domain=prose ...] [--samples=5]

English domains: word types, unigram entropy, coverage of the 1,000 most frequent types, mean word frequency,
length, numbers and names that survive, speed, and samples to read. Words are runs of letters in small letters.
Then the outcomes of all code documents, and the speed of each kind.
"""

import argparse
import collections
import math
import random
import re
import time
from collections.abc import Iterable, Sequence

import numpy as np

from bench_shadows.data.corpus.builtin.builtin import builtin_documents
from bench_shadows.data.corpus.document import Document
from bench_shadows.data.rewriting.rules.plain import zipf
from bench_shadows.data.rewriting.rules.rules import rewrite_counted
from bench_shadows.data.statistics.statistics import entropy_nats, top_share

WORD = re.compile(r"[^\W\d_]+")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")
CAPITAL = re.compile(r"(?<![A-Za-z])[A-Z][a-z]+")


def words(texts: Iterable[str]) -> dict[str, float]:
    """Types, entropy in bits, coverage of the top 1,000, mean Zipf frequency, words."""
    counts = collections.Counter(word for text in texts for word in WORD.findall(text.lower()))
    table = np.array(list(counts.values()))
    zipfs = np.array([zipf(word, "en") for word in counts])
    return {
        "types": len(counts),
        "entropy_bits": entropy_nats(table) / math.log(2),
        "top_1000": 100 * (top_share(table, 1000) or 0.0),
        "mean_zipf": float((zipfs * table).sum() / table.sum()),
        "words": int(table.sum()),
    }


def kept(before: Sequence[str], after: Sequence[str]) -> tuple[float, float]:
    """Shares of the numbers and of the names that are there afterwards, in percent, by document.

    A name is a word that has a capital inside a sentence somewhere in its document; all its places count, those at
    the start of a sentence too, which the rules may take for a common word.
    """
    found, lost = collections.Counter[str](), collections.Counter[str]()
    for old, new in zip(before, after, strict=True):
        names = set(NAME.findall(old))
        for what, pattern in (("numbers", NUMBER), ("names", CAPITAL)):
            matches = pattern.findall(old)
            first = collections.Counter(w for w in matches if what == "numbers" or w in names)
            found[what] += first.total()
            lost[what] += (first - collections.Counter(pattern.findall(new))).total()
    numbers, named = (100 * (1 - lost[what] / max(1, found[what])) for what in ("numbers", "names"))
    return numbers, named


def rewrite_all(documents: Sequence[Document]) -> tuple[list[str], collections.Counter[str], float]:
    """The texts, the outcomes, the seconds of processor time."""
    outcomes: collections.Counter[str] = collections.Counter()
    texts = []
    start = time.process_time()
    for document in documents:
        result = rewrite_counted(document)
        outcomes[result.outcome] += 1
        texts.append((result.document or document).text)
    return texts, outcomes, time.process_time() - start


def report_text(domain: str, documents: Sequence[Document], samples: int) -> None:
    """Prints the figures of one domain, and samples."""
    before = [document.text for document in documents]
    after, _, seconds = rewrite_all(documents)
    megabytes = sum(map(len, before)) / 1e6
    old, new = words(before), words(after)
    print(f"\n{domain}: {len(documents):,} documents, {megabytes:.1f} MB, {megabytes / seconds:.2f} MB/s")
    for name in old:
        print(f"  {name:13} {old[name]:12,.3f} -> {new[name]:12,.3f}  {new[name] - old[name]:+12.3f}")
    print(f"  types by {100 * (new['types'] / old['types'] - 1):+.1f} %, characters by ", end="")
    print(f"{100 * (sum(map(len, after)) / sum(map(len, before)) - 1):+.1f} %")
    numbers, names = kept(before, after)
    print(f"  numbers kept {numbers:.3f} %, names kept {names:.3f} %")
    chosen = random.Random(0).sample(range(len(documents)), min(samples, len(documents)))
    for index in chosen:
        text = documents[index].text
        start = text.find("\n", len(text) // 3) + 1
        piece = text[start : start + 400]
        part = rewrite_counted(Document("sample", piece, domain, "en", "text", "")).document
        print(f"\n--- {documents[index].id}\n{piece}\n>>>\n{part.text if part else ''}")


def main() -> None:
    """Reads the corpus and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domain", action="append", help="English domains (prose)")
    parser.add_argument("--samples", type=int, default=5)
    options = parser.parse_args()
    corpus = list(builtin_documents())
    for domain in options.domain or ["prose"]:
        english = [d for d in corpus if d.domain == domain and d.kind == "text" and d.language == "en"]
        report_text(domain, english, options.samples)
    for name, kind, languages in (
        ("Chinese", "text", ("zh",)),
        ("Python", "code", ("python",)),
        ("code", "code", ()),
    ):
        chosen = [d for d in corpus if d.kind == kind and (d.language in languages or not languages)]
        _, outcomes, seconds = rewrite_all(chosen)
        megabytes = sum(len(document.text) for document in chosen) / 1e6
        print(f"\n{name}: {len(chosen):,} documents, {megabytes:.1f} MB, {megabytes / seconds:.2f} MB/s")
        for outcome, number in outcomes.most_common(12):
            print(f"  {number:6,}  {100 * number / len(chosen):5.1f} %  {outcome}")


if __name__ == "__main__":
    main()
