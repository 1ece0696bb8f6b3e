"""Derives the built-in teacher's table of plainer English words from WordNet and word frequencies.

    python scripts/derive_synonyms.py [WORDNET]

WORDNET is a folder with WordNet's database files (`data.verb`, `index.verb`, `cntlist.rev`, ...); without it
$WNSEARCHDIR, then /usr/share/wordnet (Debian and Ubuntu: `apt install wordnet-base`). Writes
bench_shadows/data/rewriting/rules/synonyms.tsv, which is kept in the repository so that a document is rewritten
to the same text on every machine, whether it has WordNet or not. Format of the files: wndb(5WN).
"""

import collections
import dataclasses
import os
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import wordfreq

TABLE = Path(__file__).parents[1] / "bench_shadows/data/rewriting/rules/synonyms.tsv"
PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
RARE = 4.0
"""Zipf frequency below which a word is replaced ..."""
MARGIN = 0.3
"""... by a word of the same meaning that is so much more frequent (twice), ..."""
BROADER_MARGIN, BROADER = 1.0, 4.5
"""... or, where it has none, by the word that it is derived from, or by a broader verb or the plain adjective
that it is like; such a one must be 10 times more frequent, and frequent in itself."""
SHARE = 0.5
"""Share of a word's tagged occurrences that its main sense must have: other words mean too many things."""
TAGGED = 4.0
"""A word of this Zipf frequency must have been tagged with the sense; if it was not, it means another thing."""


LEFT_OUT = {
    name: frozenset(words.split())
    for name, words in tomllib.loads(Path(__file__).with_name("synonyms_left_out.toml").read_text()).items()
}


@dataclasses.dataclass(frozen=True)
class Synset:
    """Words of one meaning and the pointers from it: (symbol, synset, number of the word it starts from, or 0)."""

    words: tuple[str, ...]
    pointers: tuple[tuple[str, str, int, int], ...]

    @property
    def plain(self) -> list[str]:
        """The words in small letters."""
        return [
            word for word in self.words if word.isascii() and word.isalpha() and word.islower() and len(word) > 1
        ]


@dataclasses.dataclass(frozen=True)
class Sense:
    """A meaning of a word: part of speech, synset, rank in that part of speech, how often it was tagged."""

    part: str
    synset: str
    rank: int
    count: int


class WordNet:
    """The senses of every word and the words of every sense."""

    def __init__(self, folder: Path) -> None:
        counts = _counts(folder / "cntlist.rev")
        self.synsets: dict[str, Synset] = {}
        self.senses: dict[str, list[Sense]] = collections.defaultdict(list)
        for part in PARTS:
            for line in _lines(folder / f"data.{part}"):
                self.synsets[PARTS[part] + line[:8]] = _synset(line)
            for line in _lines(folder / f"index.{part}"):
                fields = line.split()
                word, number = fields[0], int(fields[2])
                for rank, offset in enumerate(fields[-number:], 1):
                    count = counts.get((word, part, rank), 0)
                    self.senses[word].append(Sense(part, PARTS[part] + offset, rank, count))

    def main_sense(self, word: str) -> Sense | None:
        """The sense that the word nearly always has; None where there is no such sense."""
        senses = self.senses.get(word, [])
        total = sum(sense.count for sense in senses)
        if total:
            best = max(senses, key=lambda sense: sense.count)
            return best if best.count >= SHARE * total else None
        if not senses or len(senses) > 3:
            return None
        firsts = [sense for sense in senses if sense.rank == 1]
        return min(firsts, key=lambda sense: ("verb", "adj", "adv", "noun").index(sense.part))

    def means(self, word: str, synset: str) -> bool:
        """Whether a reader takes the word in that sense: it is a first one, or a third of what was tagged."""
        senses = self.senses[word]
        here = next(sense for sense in senses if sense.synset == synset)
        total = sum(sense.count for sense in senses)
        if not here.count:
            return len(senses) == 1 and zipf(word) < TAGGED
        usual = sum(sense.count for sense in senses if sense.part == here.part) / total
        return here.count / total >= 0.3 or (here.rank == 1 and usual >= 0.4)


def derive(wordnet: WordNet) -> dict[str, str]:
    """{rare word: plainer word, or `not` and a plainer word}, lemmas on both sides."""
    steps = {}
    for word in sorted(wordnet.senses):
        plural = word.endswith("s") and word[:-1] in wordnet.senses
        if (
            not word.isascii()
            or not word.isalpha()
            or len(word) < 3
            or plural
            or word in LEFT_OUT["terms"] | LEFT_OUT["wrong"]
            or zipf(word) >= RARE
        ):
            continue
        plainer = _plainer(wordnet, word)
        if plainer:
            steps[word] = plainer
    # A step may lead to a word that is rare itself.
    return {word: steps.get(plainer, plainer) for word, plainer in steps.items() if steps.get(plainer) != word}


def _plainer(wordnet: WordNet, word: str) -> str | None:
    sense = wordnet.main_sense(word)
    if sense is None:
        return None
    synset = wordnet.synsets[sense.synset]
    if word not in synset.words:  # it is written with a capital: a name
        return None

    def best(words: Iterable[str], name: str, least: float) -> str | None:
        fit = [w for w in words if w != word and zipf(w) >= least and wordnet.means(w, name)]
        return max(fit, key=zipf, default=None)

    found = best(synset.plain, sense.synset, zipf(word) + MARGIN)
    if found:
        return found
    own = synset.words.index(word) + 1
    for symbol, name, source, target in synset.pointers:
        other = wordnet.synsets[name].words[target - 1]
        opposite = symbol == "!" and source == own and sense.part in ("adj", "adv") and word.endswith(other)
        if opposite and zipf(other) >= zipf(word) + MARGIN:
            return f"not {other}"
    least = max(BROADER, zipf(word) + BROADER_MARGIN)
    for symbol, name, source, target in synset.pointers:
        above = wordnet.synsets[name]
        if source == own and (symbol == "\\" or (symbol == "+" and sense.part == "noun")):
            family = [w for w in (above.words[target - 1],) if len(w) < len(word) and w[:4] == word[:4]]
            found = best(family, name, zipf(word) + MARGIN)
        elif (symbol == "@" and sense.part == "verb") or symbol == "&":
            found = best((w for w in above.plain if w not in LEFT_OUT["too_broad"]), name, least)
        if found:
            return found
    return None


def zipf(word: str) -> float:
    """log10 of the word's occurrences in a billion words of English (wordfreq)."""
    return wordfreq.zipf_frequency(word, "en")


def _synset(line: str) -> Synset:
    fields = line.partition(" | ")[0].split()
    number = int(fields[3], 16)
    words = tuple(word.partition("(")[0] for word in fields[4 : 4 + 2 * number : 2])
    pointers = fields[5 + 2 * number : 5 + 2 * number + 4 * int(fields[4 + 2 * number])]
    return Synset(words, tuple(_pointer(*pointers[at : at + 4]) for at in range(0, len(pointers), 4)))


def _pointer(symbol: str, offset: str, part: str, ends: str) -> tuple[str, str, int, int]:
    return symbol, part + offset, int(ends[:2], 16), int(ends[2:], 16)


def _counts(path: Path) -> dict[tuple[str, str, int], int]:
    """{(word, part of speech, rank): how often it was tagged} (cntlist(5WN))."""
    parts = dict(
        enumerate(("noun", "verb", "adj", "adv", "adj"), 1)
    )  # as sense keys number them; 5 is a satellite
    counts = {}
    for line in path.read_text(encoding="ascii").splitlines():
        key, rank, count = line.split()
        word, _, rest = key.partition("%")
        counts[word, parts[int(rest[0])], int(rank)] = int(count)
    return counts


def _lines(path: Path) -> Iterator[str]:
    """The lines of a database file without its licence, which is indented by two blanks."""
    return (line for line in path.read_text(encoding="ascii").splitlines() if not line.startswith("  "))


def _licence(folder: Path) -> str:
    """The licence as the database carries it: it must go with every copy."""
    lines = (folder / "data.verb").read_text(encoding="ascii").splitlines()
    return "".join(f"#{line[4:].rstrip()}\n" for line in lines if line.startswith("  "))


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("WNSEARCHDIR", "/usr/share/wordnet"))
    table = derive(WordNet(folder))
    head = "# Derived from WordNet by scripts/derive_synonyms.py: a rare word, the plainer one in its place.\n#\n"
    rows = "".join(f"{word}\t{plainer}\n" for word, plainer in table.items())
    TABLE.write_text(head + _licence(folder) + rows, encoding="utf-8")
    print(f"{len(table):,} words in {TABLE}")
