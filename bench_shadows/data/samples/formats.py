"""The user's own samples: records of JSON lines, JSON lists and Parquet, brought into LLaVA's layout, and checked.

    conversations: [{from, value}, ...]     LLaVA, ShareGPT
    messages: [{role, content}, ...]        chat; a first turn of the system becomes `system`
    prompt + answer                         plain records: `PLAIN` and the answers' names of repetition.py

A record that cannot be used is counted with its place and reason. Other fields stay as they are and are not read.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench_shadows.config import DataConfig, PromptsConfig, VisionConfig
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.detect import natural_language
from bench_shadows.data.corpus.documents import field
from bench_shadows.data.corpus.sources import storage
from bench_shadows.data.corpus.sources.part import LONGEST_RECORD, BadRecordError, Part, Record
from bench_shadows.data.samples import sample_files
from bench_shadows.data.samples.encoding import FRONT, PLAIN, dialogue
from bench_shadows.data.samples.image_files import read_image
from bench_shadows.data.samples.repetition import ANSWERS, SYSTEMS, USERS
from bench_shadows.data.samples.sample import GROUPS
from bench_shadows.data.samples.scoring import score
from bench_shadows.errors import ConfigError
from bench_shadows.files import expand

_ASSISTANTS = frozenset({"gpt", "assistant", "model", "bot", "chatgpt"})
BYTES = "(bytes)"
"""What stands for the path of an image that the file itself holds."""
_TURNS = ("conversations", "messages")


@dataclasses.dataclass(frozen=True)
class SampleSettings:
    """What a study says about its samples."""

    data: DataConfig
    prompts: PromptsConfig
    vision: VisionConfig


class Sampled(NamedTuple):
    """A sample that can be used."""

    where: str
    """Its place: file:line."""
    sample: dict[str, Any]
    image: np.ndarray | None
    """uint8 [S, S, 3]."""


def read_samples(part: Part, settings: SampleSettings, counts: Counts) -> Iterator[Sampled]:
    """Yields the samples of a piece of a file in its order, and counts what is none.

    Raises DataError where there are more bad records than `data.bad_records_limit`.
    """
    folder = image_folder(part, settings)
    for record in sample_files.records(part, counts):
        try:
            sampled = _sampled(record, part, settings, folder)
        except BadRecordError as error:
            counts.leave_out(record.where, *error.args)
        else:
            counts.documents[record.source] += 1
            yield sampled


def image_folder(part: Part, settings: SampleSettings) -> Path:
    """Where the images of a file's samples lie: `prompts.image_folder`, else beside the file."""
    if settings.prompts.image_folder:
        folder = expand(settings.prompts.image_folder)
        if not folder.is_dir():
            raise ConfigError(f"config.prompts.image_folder={folder}: no such folder")
        return folder
    path = part.paths[0]
    if "://" in path and settings.vision.image_size:
        raise ConfigError(
            f"config.prompts.image_folder: empty, and {storage.shown(path)} lies in a bucket; images are read "
            "from a folder of this machine: name it"
        )
    return Path(path).parent


def _sampled(record: Record, part: Part, settings: SampleSettings, folder: Path) -> Sampled:
    values = record.values
    if not isinstance(values, Mapping):
        raise BadRecordError("not an object", f"a {type(values).__name__}")
    content = _image(values, settings.prompts.image_field)
    fields = settings.data.fields
    turns, system, used = _turns(values)
    used |= {settings.prompts.image_field}
    own = {str(key): value for key, value in values.items() if key not in used}
    sample = {
        **own,
        "id": _text(values, fields.id) or record.where,
        "image": content if isinstance(content, str) else BYTES if content is not None else None,
        "task": _text(values, "task") or _text(values, fields.domain) or part.domain,
        "group": _text(values, "group") or (GROUPS[0] if content is not None else GROUPS[1]),
        "conversations": turns,
        **({"system": system} if system else {}),
    }
    if sample["group"] not in GROUPS:
        raise BadRecordError("unknown group", f"{sample['group'][:40]!r}; there are {', '.join(GROUPS)}")
    _check_fields(sample, settings.prompts.fields or FRONT)
    said = dialogue(sample, settings.prompts)
    if not all(prompt for prompt, _ in said):
        raise BadRecordError("no prompt", "nothing is asked before an answer")
    if sum(map(len, (text for turn in said for text in turn))) > LONGEST_RECORD:
        raise BadRecordError("text too long", f"at most {LONGEST_RECORD:,} characters")
    sample["language"] = _text(values, fields.language) or natural_language(" ".join(said[-1]))
    _check_answer(sample, said[-1][1])
    size = settings.vision.image_size
    image = read_image(content, folder, size) if size and content is not None else None
    plain = json.loads(json.dumps(sample, default=lambda value: None))  # without what is no JSON, such as bytes
    return Sampled(record.where, plain, image)


def _image(values: Mapping[str, Any], name: str) -> str | bytes | None:
    """A path below the image folder, or the file's bytes; None for a sample without an image."""
    value = field(values, name)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if len(value) > 1:
            raise BadRecordError("several images", f"field {name!r} has {len(value)}; one is expected")
        value = value[0] if value else None
    if isinstance(value, Mapping):  # as Hugging Face's Parquet has it
        value = value.get("bytes") or value.get("path")
    if value is None or isinstance(value, str | bytes):
        return value
    raise BadRecordError(f"field {name!r} is no image", f"a {type(value).__name__}; expected a path or bytes")


def _turns(values: Mapping[str, Any]) -> tuple[list[dict[str, str]], str, set[str]]:
    """LLaVA's turns of human and gpt, in turn; what the system says before them; the fields that they are from."""
    name = next((name for name in _TURNS if values.get(name) is not None), None)
    if name is None:
        asked, answered = (
            next((name for name in names if values.get(name) not in (None, "")), None)
            for names in (PLAIN[::-1], sorted(ANSWERS))
        )
        has = ", ".join(map(str, list(values)[:8])) or "no field"
        if asked is None:
            raise BadRecordError("no prompt", f"it has {has}")
        if answered is None:
            raise BadRecordError("no answer", f"it has {has}")
        prompt, answer = _text(values, asked) or "", _text(values, answered) or ""
        if not answer.strip():
            raise BadRecordError("no answer", f"{answered} is empty")
        return [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}], "", {asked, answered}
    listed = values[name]
    if not isinstance(listed, Sequence) or isinstance(listed, str | bytes):
        raise BadRecordError(f"field {name!r} is no list of turns", f"a {type(listed).__name__}")
    turns = [_turn(turn, f"{name}.{place}") for place, turn in enumerate(listed)]
    system = ""
    if turns and turns[0][0] in SYSTEMS:
        (_, system), *turns = turns
    if not turns:
        raise BadRecordError("no prompt", f"field {name!r} has no turn of the user")
    for place, (speaker, text) in enumerate(turns):
        if speaker not in (USERS if place % 2 == 0 else _ASSISTANTS):
            wanted = "the user" if place % 2 == 0 else "the assistant"
            raise BadRecordError("turns not in turn", f"{name}.{place} is {speaker!r}'s, expected {wanted}'s")
        if place % 2 and not text.strip():
            raise BadRecordError("no answer", f"{name}.{place} is empty")
    if len(turns) % 2:
        raise BadRecordError("no answer", f"{name} ends with the user's turn")
    said = [{"from": "gpt" if place % 2 else "human", "value": text} for place, (_, text) in enumerate(turns)]
    return said, system, {name}


def _turn(turn: Any, where: str) -> tuple[str, str]:
    """(speaker, text) of a turn, the texts of a list of contents joined."""
    if not isinstance(turn, Mapping):
        raise BadRecordError("a turn is no object", f"{where} is a {type(turn).__name__}")
    speaker = turn.get("from", turn.get("role"))
    if not isinstance(speaker, str):
        raise BadRecordError("a turn without its speaker", f"{where} has no text `from` or `role`")
    value = turn.get("value", turn.get("content"))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):  # [{"type": "text", "text": ...}, ...]
        value = "\n".join(
            _text(one, "text") or "" for one in value if isinstance(one, Mapping) and one.get("type") == "text"
        )
    return speaker.casefold(), _checked(value, f"{where}.value")


def _text(values: Mapping[str, Any], name: str) -> str | None:
    """A field that has to be text; a number is its digits (ids)."""
    value = field(values, name)
    if value is None:
        return None
    return str(value) if type(value) is int else _checked(value, name)


def _checked(value: Any, name: str) -> str:
    if not isinstance(value, str):
        shape = ".".join("*" if part.isdigit() else part for part in name.split("."))  # reasons are counted by it
        raise BadRecordError(f"field {shape!r} is not text", f"{name} is a {type(value).__name__}")
    if "\0" in value:
        raise BadRecordError("NUL character in the text", name)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        details = f"{name}, character {error.start + 1}"
        raise BadRecordError("half a surrogate pair in the text", details) from error
    return value


def _check_fields(sample: Mapping[str, Any], names: Sequence[str]) -> None:
    """What stands in front of the prompt has to be text, or may be missing."""
    if not isinstance(metadata := sample.get("metadata"), Mapping | None):
        raise BadRecordError("field 'metadata' is no object", f"a {type(metadata).__name__}")
    for name in names:
        value = field(sample, name)
        if value is not None and (name in FRONT or not isinstance(value, Mapping | list)):
            _checked(value, name)


def _check_answer(sample: Mapping[str, Any], answer: str) -> None:
    try:
        right = score(sample, answer)
    except (ValueError, TypeError, AttributeError) as error:
        raise BadRecordError("field 'check' cannot be used", storage.one_line(error)) from error
    if not right:
        raise BadRecordError("the answer does not pass its own check", json.dumps(sample.get("check"))[:200])
