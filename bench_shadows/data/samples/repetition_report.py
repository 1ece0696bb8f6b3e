"""How often prompts are repeated in samples: by field, by template and by fragment, before and after cleaning.

A template is told by where it puts a fragment: the fields of a sample that share one, `caption + system`. Counts
are merged over processes and parts, and hold a bounded number of names.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from bench_shadows.data.samples.repetition import Cleaned, Repeat, Rules, deduplicate, texts

EXAMPLES = 12
"""Samples that are shown before and after."""
LISTED = 200
"""Fragments and templates that a report lists."""
SHOWN = 2000
"""Characters that are shown of a field of an example."""
NAMED = 500
"""Characters that tell a fragment from others."""
OTHER = "(other)"
"""What stands for the rarest names, where there are too many to tell them apart."""


@dataclasses.dataclass
class Measure:
    """How often prompts are repeated, over many samples."""

    samples: int = 0
    repeating: int = 0
    """Samples with a repeated fragment."""
    repeating_after: int = 0
    """The same, measured again on what was written."""
    characters: int = 0
    """In the fields that are looked at."""
    characters_removed: int = 0
    without_text: int = 0
    """Samples without any field that is looked at."""
    fields: Counter[str] = dataclasses.field(default_factory=Counter)
    """Field -> samples with it."""
    fields_repeating: Counter[str] = dataclasses.field(default_factory=Counter)
    """Field -> samples in which a copy was removed from it."""
    fields_repeating_after: Counter[str] = dataclasses.field(default_factory=Counter)
    """The same, measured again."""
    templates: Counter[str] = dataclasses.field(default_factory=Counter)
    """Template -> samples."""
    templates_after: Counter[str] = dataclasses.field(default_factory=Counter)
    """The same, measured again."""
    fragments: Counter[str] = dataclasses.field(default_factory=Counter)
    """Fragment -> copies removed."""
    fragment_samples: Counter[str] = dataclasses.field(default_factory=Counter)
    """Fragment -> samples in which it was repeated."""
    fragments_after: Counter[str] = dataclasses.field(default_factory=Counter)
    """Fragment -> copies that measuring again would remove."""

    LIMIT: ClassVar[int] = 20_000
    """Names of one kind that are told apart; twice as many are held at most."""

    def add(self, cleaned: Cleaned, rules: Rules) -> None:
        """Counts one sample, as it was and as it is written."""
        self.samples += 1
        self.without_text += not cleaned.looked_at
        self.characters += sum(len(text.value) for text in cleaned.looked_at)
        self.fields.update({text.field for text in cleaned.looked_at})
        if removed := cleaned.removed:
            self.repeating += 1
            self.characters_removed += sum(len(repeat.text) for repeat in removed)
            self.fields_repeating.update({repeat.field for repeat in removed})
            self.templates.update(_templates(removed))
            self.fragments.update(map(_named, removed))
            self.fragment_samples.update(set(map(_named, removed)))
            again = deduplicate(cleaned.sample, rules).removed
            self.repeating_after += bool(again)
            self.fields_repeating_after.update({repeat.field for repeat in again})
            self.templates_after.update(_templates(again))
            self.fragments_after.update(map(_named, again))
        self._forget_rare()

    def merge(self, other: Mapping[str, Any]) -> None:
        """Adds what `as_json` gave of another process."""
        for name, theirs in other.items():
            mine = getattr(self, name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                setattr(self, name, mine + theirs)
        self._forget_rare()

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, the same whatever order they were counted in."""
        return {
            name: dict(sorted(item.items())) if isinstance(item, Counter) else item
            for name, item in vars(self).items()
        }

    def _forget_rare(self) -> None:
        for name, counter in vars(self).items():
            if isinstance(counter, Counter) and len(counter) > 2 * self.LIMIT:
                kept = Counter(dict(counter.most_common(self.LIMIT)))
                kept[OTHER] += counter.total() - kept.total()
                setattr(self, name, kept)


def _named(repeat: Repeat) -> str:
    """What a fragment is counted under; a page of text is told by its beginning."""
    return repeat.fragment if len(repeat.fragment) <= NAMED else repeat.fragment[:NAMED] + "…"


def _templates(removed: Sequence[Repeat]) -> set[str]:
    """The fields that share a fragment, for every repeated fragment of a sample."""
    fields: dict[str, set[str]] = {}
    for repeat in removed:
        fields.setdefault(repeat.fragment, {repeat.kept_in}).add(repeat.field)
    return {" + ".join(sorted(shared)) for shared in fields.values()}


@dataclasses.dataclass
class Account:
    """A measure, and the first samples that show something new, side by side."""

    measure: Measure = dataclasses.field(default_factory=Measure)
    examples: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """{"where", "fields": [{"field", "before", "after"}]}."""
    _shown: set[str] = dataclasses.field(default_factory=set)

    def add(self, cleaned: Cleaned, where: str, rules: Rules) -> None:
        """Counts one sample, which is shown where it repeats a fragment that no example has."""
        self.measure.add(cleaned, rules)
        new = {repeat.fragment for repeat in cleaned.removed} - self._shown
        if new and len(self.examples) < EXAMPLES:
            self._shown |= new
            self.examples.append(_example(cleaned, where, rules))

    def merge(self, other: Mapping[str, Any]) -> None:
        """Adds what `as_json` gave of another process; its examples come behind."""
        self.measure.merge(other["measure"])
        self.examples = (self.examples + other["examples"])[:EXAMPLES]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"measure": self.measure.as_json(), "examples": self.examples}

    def report(self) -> dict[str, Any]:
        """What duplicates.json tells: the measure, fragments and templates by how common they are, examples."""
        measure = self.measure
        untold = ("fragment_samples", "fragments_after", "templates_after")
        return {
            **{name: value for name, value in measure.as_json().items() if name not in untold},
            "templates": [
                {"template": name, "samples": count, "samples_after": measure.templates_after[name]}
                for name, count in _common(measure.templates)
            ],
            "fragments": [
                {
                    "fragment": name,
                    "copies": count,
                    "samples": measure.fragment_samples[name],
                    "copies_after": measure.fragments_after[name],
                }
                for name, count in _common(measure.fragments)
            ],
            "fragments_told_apart": len(measure.fragments.keys() - {OTHER}),
            "fragments_dropped": measure.fragments[OTHER],
            "examples": self.examples,
        }


def _common(counter: Counter[str]) -> list[tuple[str, int]]:
    """The most common names first, equal ones by name; what is not told apart is left out."""
    named = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return [item for item in named if item[0] != OTHER][:LISTED]


def _example(cleaned: Cleaned, where: str, rules: Rules) -> dict[str, Any]:
    after = {text.path: text.value for text in texts(cleaned.sample, rules)}
    fields = [
        {"field": ".".join(map(str, text.path)), "before": text.value[:SHOWN], "after": after[text.path][:SHOWN]}
        for text in cleaned.looked_at
    ]
    return {"where": where, "fields": fields}
