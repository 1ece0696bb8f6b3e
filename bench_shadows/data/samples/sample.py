"""A vision-language sample: an image or none, a conversation about it, and the fields that a pipeline puts around.

LLaVA's layout, so that a user's own JSONL is read as it is. What a sample says is text; `encoding.py` makes token
ids of it, with the special tokens of `data/special_tokens.py`.
"""

from typing import Any, Literal, NotRequired, TypedDict

GROUPS = ("multimodal", "language", "documents", "instructions")
"""Our reading of Table 3's categories: General-MLLM, General-LLM, Business-MLLM and -LLM, Instruct-Following."""


PLACEHOLDER = "<image>"
"""Where an image stands in a user's turn, as LLaVA writes it. In a row the image is always before the text."""

Split = Literal["train", "held_out"]
Turn = TypedDict("Turn", {"from": str, "value": str})


class Sample(TypedDict):
    """One sample. A user's may lack every field but `conversations`."""

    id: str
    task: str
    group: str
    """One of GROUPS."""
    language: str
    """`en` or `zh`."""
    conversations: list[Turn]
    """Turns of `human` and `gpt`, in turn. The first line of the first is the instruction, what it is about
    follows."""
    image: NotRequired[str | None]
    """A path below the image folder; missing in the built-in corpus, which draws."""
    system: NotRequired[str]
    caption: NotRequired[str]
    ocr: NotRequired[str]
    metadata: NotRequired[dict[str, Any]]
    """`instruction` of it is read by a pipeline, too."""
    check: NotRequired[dict[str, Any]]
    """How an answer is scored, where not by exact match: `scoring.py`."""


def prompt(sample: Sample) -> str:
    """The text of the first user turn, without the image's placeholder; "" where there is none."""
    for turn in sample["conversations"]:
        if turn["from"] == "human":
            return turn["value"].replace(PLACEHOLDER, "").strip()
    return ""


def has_image(sample: Sample) -> bool:
    """Whether an image belongs to the sample: it names one, or a turn has the placeholder."""
    return bool(sample.get("image")) or any(PLACEHOLDER in turn["value"] for turn in sample["conversations"])


def answer(sample: Sample) -> str:
    """What the assistant says last: the answer that is asked for; "" where it says nothing."""
    return next((turn["value"] for turn in reversed(sample["conversations"]) if turn["from"] == "gpt"), "")
