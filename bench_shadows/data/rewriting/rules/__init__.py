"""Condition D's built-in teacher: rewrites a document towards the frequent and the canonical, offline.

It stands in for the paper's 30B teacher (appendix A.1). Deterministic: the same document always gives the same
text, on every machine.

- English text (`english.py`): lemmas, plainer synonyms for rare words, one form of sentences and signs.
- Chinese text (`chinese.py`): a rare word becomes a much more frequent word inside it; simplified characters;
  one form of punctuation.
- Other text: punctuation and white space only.
- Code (`canonical.py`): own names v1, v2, ...; no comments; one layout. It stays in its language.
- Exercises: byte for byte as they are.

What it is not. It does not understand: a word is replaced by what its most tagged sense in WordNet says, in every
place, so a rarer sense comes out wrong; inflection goes, and with it tense and the difference between `was
eating` and `was eaten`; nothing is summed up, reordered or explained; passives and inversions stay. Names are told
by their capitals alone. The paper's teacher narrows sentences, style and content, and turns all code into one
language; this one narrows words and forms.
"""

from bench_shadows.data.rewriting.rules.rules import rewrite, rewrite_counted

__all__ = ["rewrite", "rewrite_counted"]
