"""The user's own samples: files and images as they come, what cannot be used counted, nothing outside read."""

import dataclasses
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sample_study import ASK, study, table

from bench_shadows.data.prepare import prepare
from bench_shadows.data.rows.row_store import RowSet
from bench_shadows.data.samples import pieces
from bench_shadows.data.samples.image_files import read_image
from bench_shadows.data.samples.images import RowImages
from bench_shadows.errors import ConfigError, DataError, RunError


def png(path: Path, seed: int, size: tuple[int, int] = (30, 20), mode: str = "RGB") -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 4), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)


def llava(number: int, image: Any = None, **more: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": f"<image>\n{ASK} {number}"}, {"from": "gpt", "value": f"It is {number}."}]
    return {"id": number, "image": f"i/{number}.png" if image is None else image, "conversations": turns, **more}


def bomb() -> bytes:
    """A PNG of 20 bytes of pixels whose header claims 60,000 x 60,000."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"x")) + chunk(b"IEND", b"")
    )


def write_images(folder: Path) -> None:
    """Twenty good images, and some that are none."""
    for number in range(20):
        png(folder / "i" / f"{number}.png", number, (30 + number, 20), ["RGB", "RGBA", "L", "P"][number % 4])
    whole = (folder / "i" / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no image")
    (folder / "empty.png").write_bytes(b"")
    (folder / "bomb.png").write_bytes(bomb())
    (folder / "vector.svg").write_text("<svg/>")
    png(folder / "tiny.png", 0, (3, 3))
    png(folder / "line.png", 0, (900, 9))
    png(folder.parent / "outside.png", 0)
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    os.mkfifo(folder / "pipe.png")


SAID = [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "A cat"}]
BAD: list[tuple[Any, str]] = [
    (llava(90, "none.png"), "image missing"),
    (llava(90, "i/0.png/x.png"), "image missing"),
    (llava(90, "cut.png"), "not an image"),
    (llava(90, "text.png"), "not an image"),
    (llava(90, "empty.png"), "not an image"),
    (llava(90, "vector.svg"), "not an image"),
    (llava(90, "i"), "not an image"),
    (llava(90, "pipe.png"), "not an image"),
    (llava(90, "bomb.png"), "image too large"),
    (llava(90, "tiny.png"), "wrong image size"),
    (llava(90, "line.png"), "wrong image size"),
    (llava(90, "../outside.png"), "image outside the folder"),
    (llava(90, "i/../../outside.png"), "image outside the folder"),
    (llava(90, "/etc/hostname"), "image outside the folder"),
    (llava(90, "link.png"), "image outside the folder"),
    (llava(90, "loop.png"), "image cannot be read"),
    (llava(90, "a\0b.png"), "image outside the folder"),
    (llava(90, ["i/0.png", "i/1.png"]), "several images"),
    (llava(90, 7), "field 'image' is no image"),
    (["no", "object"], "not an object"),
    ({"id": 1, "image": "i/0.png"}, "no prompt"),
    ({"conversations": []}, "no prompt"),
    ({"conversations": [{"from": "human", "value": "<image>\n"}, SAID[1]]}, "no prompt"),
    ({"conversations": SAID[:1]}, "no answer"),
    ({"conversations": [SAID[0], {"from": "gpt", "value": " "}]}, "no answer"),
    ({"prompt": "Why?"}, "no answer"),
    ({"conversations": SAID[::-1]}, "turns not in turn"),
    ({"conversations": [{"from": "human", "value": ["a"]}, SAID[1]]}, "no prompt"),
    ({"conversations": [{"from": "human", "value": 5}, SAID[1]]}, "field 'conversations.*.value' is not text"),
    ({"conversations": "What is it?"}, "field 'conversations' is no list of turns"),
    ({"conversations": ["What is it?"]}, "a turn is no object"),
    ({"conversations": [{"value": "What is it?"}]}, "a turn without its speaker"),
    ({"conversations": SAID, "system": {"a": 1}}, "field 'system' is not text"),
    ({"conversations": SAID, "caption": ["a"]}, "field 'caption' is not text"),
    ({"conversations": SAID, "metadata": "x"}, "field 'metadata' is no object"),
    ({"conversations": SAID, "group": "pictures"}, "unknown group"),
    ({"conversations": SAID, "check": {"smells": "good"}}, "field 'check' cannot be used"),
    ({"conversations": SAID, "check": {"words": 5}}, "the answer does not pass its own check"),
    ({"conversations": [{"from": "human", "value": "a\0b"}, SAID[1]]}, "NUL character in the text"),
    ({"prompt": "\ud800", "answer": "x"}, "half a surrogate pair in the text"),
]


def write_lines(path: Path, samples: list[Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, samples)) + "\n")
    return path


def test_what_cannot_be_used_is_counted_with_its_place_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    write_images(folder)
    good = [llava(number) for number in range(20)]
    source = write_lines(folder / "in.jsonl", good + [sample for sample, _ in BAD])
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    prepare(study((str(source),)), tmp_path / "data")
    corpus = json.loads((tmp_path / "data" / "documents.json").read_text())["corpus"]
    reasons = [reason for _, reason in BAD]
    assert corpus["bad_records"] == {reason: reasons.count(reason) for reason in reasons}
    for number, (_, reason) in enumerate(BAD, len(good) + 1):
        if reasons.index(reason) == number - len(good) - 1:
            assert corpus["bad_examples"][reason][0].startswith(f"{source}:{number}: {reason}")
    assert corpus["sources"] == {str(source): 20}
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_one_bad_record_more_than_the_limit_stops(tmp_path: Path) -> None:
    write_images(tmp_path)
    source = write_lines(tmp_path / "in.jsonl", [llava(0), *(sample for sample, _ in BAD)])
    config = study((str(source),))
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, bad_records_limit=3))
    with pytest.raises(DataError, match=r"in.jsonl:5: .* config.data.bad_records_limit allows 3"):
        prepare(config, tmp_path / "data")


def test_samples_of_one_image_are_on_one_side_and_the_image_is_stored_once(tmp_path: Path) -> None:
    for number in range(15):
        png(tmp_path / "i" / f"{number}.png", number)
        png(tmp_path / "i" / f"{number + 15}.png", number)  # the same pixels under another name
    source = write_lines(tmp_path / "in.jsonl", [llava(number % 30, id=str(number)) for number in range(60)])
    prepare(study((str(source),)), tmp_path / "data")
    shown = {split: RowImages(tmp_path / "data" / "images" / split) for split in ("train", "held_out")}
    assert {split: (images.count, len(images.image_of)) for split, images in shown.items()} == {
        "train": (14, 56),
        "held_out": (1, 4),
    }


def test_an_image_keeps_its_proportions(tmp_path: Path) -> None:
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "red.png")
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.fromarray(np.full((20, 20), 65_535, np.uint16)).save(tmp_path / "deep.png")
    red = read_image("red.png", tmp_path, 24)
    assert (red[6:18, :, 0] == 255).all()
    assert (red[:5] == 127).all()
    assert (read_image("clear.png", tmp_path, 24) == 255).all()
    assert (read_image("deep.png", tmp_path, 24) == 255).all()
    assert np.array_equal(read_image((tmp_path / "red.png").read_bytes(), tmp_path, 24), red)


@pytest.mark.parametrize("piece_bytes", [pieces.FILE_PIECE, 512])
def test_parquet_json_lists_and_lines_hold_the_same_samples(
    piece_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "FILE_PIECE", piece_bytes)
    for number in range(24):
        png(tmp_path / "i" / f"{number}.png", number)
    samples = [llava(number) | {"id": str(number), "system": ASK} for number in range(24)]
    chats = [
        {
            "id": str(number),
            "image": {"bytes": (tmp_path / "i" / f"{number}.png").read_bytes(), "path": None},
            "messages": [
                {"role": "system", "content": ASK},
                {"role": "user", "content": f"{ASK} {number}"},
                {"role": "assistant", "content": f"It is {number}."},
            ],
        }
        for number in range(24)
    ]
    write_lines(tmp_path / "lines.jsonl", samples)
    (tmp_path / "list.json").write_text(json.dumps(samples))
    pq.write_table(pa.Table.from_pylist(chats), tmp_path / "chats.parquet", row_group_size=5)
    found = []
    for name in ("lines.jsonl", "list.json", "chats.parquet"):
        data = tmp_path / name.replace(".", "_")
        prepare(study((str(tmp_path / name),)), data)
        images = RowImages(data / "images" / "train")
        found.append(
            {
                one["id"]: (one["split"], one["baseline"], one["deduplicated"], one["answer"])
                + ((images.read(np.array([one["row"]])).tobytes(),) if one["split"] == "train" else ())
                for one in table(data)
            }
        )
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 24


def test_a_study_without_images_reads_the_samples_without_images(tmp_path: Path) -> None:
    plain = [{"instruction": "Add the numbers.", "input": f"{n} + 1", "output": n + 1} for n in range(20)]
    source = write_lines(tmp_path / "in.jsonl", [*plain, llava(1, "none.png")])
    prepare(study((str(source),), image_size=0), tmp_path / "data")
    documents = json.loads((tmp_path / "data" / "documents.json").read_text())
    assert documents["left_out"]["with_image"] == 1
    rows = table(tmp_path / "data")
    assert len(rows) == 20
    assert rows[0]["deduplicated"] == "Add the numbers.\n0 + 1"
    assert rows[0]["answer"] == "1"
    assert not (tmp_path / "data" / "images").exists()


def test_what_a_config_asks_for_has_to_be_there(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", [llava(0)] * 12)
    png(tmp_path / "i" / "0.png", 0)
    with pytest.raises(ConfigError, match="no such folder"):
        prepare(study((str(source),), image_folder=str(tmp_path / "nowhere")), tmp_path / "a")
    with pytest.raises(DataError, match="none can be held out"):
        prepare(study((str(source),)), tmp_path / "b")
    (tmp_path / "only.png").mkdir()
    with pytest.raises(DataError, match=r"matches no file|holds no samples"):
        prepare(study((str(tmp_path / "only.png"),)), tmp_path / "c")


def test_nothing_is_written_over_the_input(tmp_path: Path) -> None:
    data = tmp_path / "data"
    png(data / "images" / "train" / "0.png", 0)
    source = write_lines(tmp_path / "in.jsonl", [llava(0)] * 12)
    inside = write_lines(data / "in.jsonl", [llava(0)] * 12)
    for config in (study((str(source),), image_folder=str(data / "images" / "train")), study((str(inside),))):
        with pytest.raises(RunError, match=r"lies in .* which this run writes"):
            prepare(config, data)
    assert sorted(path.name for path in data.rglob("*")) == ["0.png", "images", "in.jsonl", "train"]


def test_images_may_lie_elsewhere(tmp_path: Path) -> None:
    for number in range(12):
        png(tmp_path / "pictures" / "i" / f"{number}.png", number)
    (tmp_path / "lists").mkdir()
    write_lines(tmp_path / "lists" / "in.jsonl", [llava(number) for number in range(12)])
    (tmp_path / "lists" / "notes.txt").write_text("no samples")
    prepare(study((str(tmp_path / "lists"),), image_folder=str(tmp_path / "pictures")), tmp_path / "data")
    corpus = json.loads((tmp_path / "data" / "documents.json").read_text())["corpus"]
    assert (corpus["bad_records"], corpus["ignored_files"]) == ({}, {".txt": 1})


def test_files_and_the_built_in_corpus_are_read_together(tmp_path: Path) -> None:
    for number in range(12):
        png(tmp_path / "i" / f"{number}.png", number)
    source = write_lines(tmp_path / "cats.jsonl", [llava(number) for number in range(12)])
    config = study(("builtin", str(source)), tasks=("counting=1",), samples=20)
    assert [piece.split for piece in pieces.pieces(config, tmp_path)] == ["train", "held_out", None]
    prepare(config, tmp_path / "data")
    assert set(RowSet(tmp_path / "data" / "rows" / "baseline").domains) == {
        "multimodal/cats",
        "multimodal/counting",
    }
