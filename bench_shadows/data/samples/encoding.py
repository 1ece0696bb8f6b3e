"""A sample becomes token ids: its image's places, then what is asked and what is answered, turn by turn.

    <|image|> * image_tokens   (<|user|> prompt <|assistant|> answer <|endoftext|>) * turns   <|endoftext|> ...

What is behind the last answer fills the row up. In front of the first prompt stands what the pipeline adds: the
fields of `prompts.fields`, else of `FRONT`, one a line. Repeated prompts are removed from them and from the
user's turns.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bench_shadows.config import PromptsConfig
from bench_shadows.data.rows.row_store import TOKEN
from bench_shadows.data.samples.repetition import Cleaned, Rules, deduplicate, is_below, texts
from bench_shadows.data.samples.sample import PLACEHOLDER
from bench_shadows.data.special_tokens import ASSISTANT_ID, END_ID, IMAGE_ID, USER_ID

PLAIN = ("instruction", "prompt", "question", "query", "input")
"""Fields of plain records that ask; the last one of them is the user's turn."""
FRONT = ("system", "metadata.instruction", *PLAIN, "caption", "ocr")
"""Fields that a pipeline puts in front of the user's text, in this order (our choice)."""
CONVERSATION = "conversations"


def rules(prompts: PromptsConfig) -> Rules:
    """What counts as a repeated prompt in a study: the fields that are read, as the config says."""
    fields = prompts.fields or (*FRONT, CONVERSATION)
    return Rules(fields, prompts.protected, prompts.minimum, prompts.ignore_case)


def clean(sample: Mapping[str, Any], prompts: PromptsConfig) -> Cleaned:
    """A sample without its repeated prompts."""
    return deduplicate(sample, rules(prompts))


def dialogue(sample: Mapping[str, Any], prompts: PromptsConfig) -> list[tuple[str, str]]:
    """(prompt, answer) of every turn, the first prompt with what stands in front of it."""
    fields = tuple(field for field in prompts.fields or FRONT if not field.startswith(CONVERSATION))
    found = texts(sample, Rules(fields)) if fields else []
    front = {text.path: text.value.strip() for field in fields for text in found if is_below(text, field)}
    said = [str(turn["value"]) for turn in sample[CONVERSATION]]
    asked = [text.replace(PLACEHOLDER, "").strip() for text in said[::2]]
    asked[0] = "\n".join(filter(None, (*front.values(), asked[0])))
    return list(zip(asked, said[1::2], strict=True))


class Tokens(NamedTuple):
    """A sample's token ids, before they are a row."""

    ids: np.ndarray
    """uint32 [tokens], the last one `<|endoftext|>`."""
    answers: np.ndarray
    """Which of them are an answer's or the `<|endoftext|>` behind it, bool [tokens]."""
    image_tokens: int
    """How many places its image takes, before everything else."""


def encode(
    dialogues: Sequence[Sequence[tuple[str, str]]],
    image_tokens: Sequence[int],
    encode_batch: Callable[[Sequence[str]], list[np.ndarray]],
) -> list[Tokens]:
    """Token ids of dialogues, each with the places that its image takes (0: it has none)."""
    pieces = iter(encode_batch([text for turns in dialogues for turn in turns for text in turn]))
    made = []
    for turns, places in zip(dialogues, image_tokens, strict=True):
        ids, answers = [np.full(places, IMAGE_ID, TOKEN)], [np.zeros(places, bool)]
        for _ in turns:
            asked, answered = next(pieces), next(pieces)
            ids += [np.array([USER_ID], TOKEN), asked, np.array([ASSISTANT_ID], TOKEN), answered]
            ids.append(np.array([END_ID], TOKEN))
            answers += [np.zeros(len(asked) + 2, bool), np.ones(len(answered) + 1, bool)]
        made.append(Tokens(np.concatenate(ids).astype(TOKEN), np.concatenate(answers), places))
    return made


def row(tokens: Tokens, seq_len: int) -> np.ndarray:
    """The row of a sample that fits, uint32 [seq_len]."""
    filled = np.full(seq_len, END_ID, TOKEN)
    filled[: len(tokens.ids)] = tokens.ids
    return filled


def count_answer_tokens(rows_BxT: np.ndarray) -> int:
    """Tokens of rows that are an answer's or the end of one: those that the loss is on (`loss.answer_weights`)."""
    positions = np.arange(1, rows_BxT.shape[1] + 1)

    def last(*markers: int) -> np.ndarray:
        return np.maximum.accumulate(np.where(np.isin(rows_BxT, markers), positions, 0), axis=1)

    answers = last(ASSISTANT_ID) > last(IMAGE_ID, USER_ID, END_ID)
    return int(answers[:, :-1].sum())
