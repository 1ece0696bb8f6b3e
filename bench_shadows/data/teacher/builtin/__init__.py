"""Condition D's built-in teacher: rewrites a document towards the frequent and the canonical, offline.

It stands in for the paper's 30B teacher (appendix A.1) and is honest about what it is: rules over word
frequencies and lexers, no understanding. It narrows support as the teacher does: fewer word types, one
layout, one set of names. Deterministic; the same document always gives the same text.

- English text: an inflected form becomes its lemma where the lemma is more frequent, a rare derived word
  the much more frequent word it comes from; contractions are written out; quotes, dashes and white space
  have one form. Names, numbers, acronyms and what looks like code, a path or an address stay.
- Chinese text: a rare word becomes a much more frequent word inside it; traditional characters become
  simplified; punctuation between Chinese characters is full-width, digits and letters half-width.
- Other text: punctuation and white space only.
- Code: the document's own names become v1, v2, ... by first appearance; comments go; layout is canonical.
- Exercises: byte for byte as they are.
"""

from bench_shadows.data.teacher.builtin.rules import rewrite, rewrite_counted

__all__ = ["rewrite", "rewrite_counted"]
