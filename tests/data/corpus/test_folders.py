"""Folders, globs, URIs and buckets: which files a source names, and what their text is."""

import json
import pickle
import urllib.parse
from pathlib import Path

import pytest
from pyarrow import fs
from reading import read, records, texts

from bench_shadows.config import DataConfig
from bench_shadows.data.corpus.documents import Counts, parts, read_part
from bench_shadows.data.corpus.sources import files, storage
from bench_shadows.errors import DataError

# ---- folders, globs, URIs


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder of records, text and code, with things in it that are no documents."""
    contents = {
        "news/1999/a.txt": "Nothing happened.",
        "news/b.md": "# Weather\r\n\r\nRain.",
        "tools/run.py": "print('hello')\n",
        "tools/main.rs": "fn main() {}\n",
        "readme.txt": "Read me.",
        "picture.png": "\x89",
        "settings.json": '{"text": "no"}',
        "tools/__init__.py": "\n",
        ".git/config.txt": "hidden",
        "tools/.hidden.py": "hidden",
    }
    for name, content in contents.items():
        (tmp_path / "corpus" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "corpus" / name).write_text(content, newline="")
    (tmp_path / "corpus/train-00001-of-00002.jsonl").write_bytes(records(1, "second"))
    (tmp_path / "corpus/train-00000-of-00002.jsonl").write_bytes(records(1, "first"))
    return tmp_path / "corpus"


def test_a_folder_is_read_with_all_that_is_below_it(corpus: Path) -> None:
    documents, counts = read(corpus)
    told = {Path(one.source).name: (one.text, one.domain, one.language, one.kind) for one in documents}
    assert told == {
        "train-00000-of-00002.jsonl": ("first 0", "train", "en", "text"),
        "train-00001-of-00002.jsonl": ("second 0", "train", "en", "text"),
        "a.txt": ("Nothing happened.", "news", "en", "text"),
        "b.md": ("# Weather\n\nRain.", "news", "en", "text"),
        "readme.txt": ("Read me.", "corpus", "en", "text"),
        "run.py": ("print('hello')\n", "tools", "python", "code"),
        "main.rs": ("fn main() {}\n", "tools", "rust", "code"),
    }
    assert counts.ignored == {".png": 1, ".json": 1, "empty code file": 1}
    assert counts.bad == {}
    assert [document.text for document in documents][:2] == ["first 0", "second 0"]


def test_a_uri_says_the_same_as_a_path(corpus: Path) -> None:
    by_path, _ = read(corpus)
    by_uri, _ = read(corpus.as_uri())
    assert [one.text for one in by_uri] == [one.text for one in by_path]
    assert [one.domain for one in by_uri] == [one.domain for one in by_path]
    assert by_uri[0].source == f"file://{by_path[0].source}"


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.txt", ["Read me."]),
        ("**/*.txt", ["Nothing happened.", "Read me."]),
        ("n*/[ab].*", ["# Weather\n\nRain."]),
        ("news/*/a.txt", ["Nothing happened."]),
        ("**/main.r?", ["fn main() {}\n"]),
        (".git/*", ["hidden"]),
        ("train-*-of-*.jsonl", ["first 0", "second 0"]),
    ],
)
def test_globs_work_in_paths_and_uris(corpus: Path, glob: str, expected: list[str]) -> None:
    assert texts(f"{corpus}/{glob}") == expected
    if "?" not in glob:  # begins the options of a URI
        assert texts(f"{corpus.as_uri()}/{glob}") == expected


def test_the_home_folder_is_known(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(corpus))
    assert [one.source for one in read("~/readme.txt", "~/tools/*.py")[0]] == [
        f"{corpus}/readme.txt",
        f"{corpus}/tools/run.py",
    ]


def test_links_are_followed_but_not_in_circles(corpus: Path, tmp_path: Path) -> None:
    before = texts(corpus)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/far.txt").write_text("far")
    (corpus / "linked").symlink_to(tmp_path / "elsewhere")
    for name in ("around", "again"):
        (corpus / "news" / name).symlink_to(corpus)
    assert sorted(texts(corpus)) == sorted([*before, "far"])
    assert texts(f"{corpus}/linked/*.txt") == ["far"]


def test_relative_paths_stay_relative(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(corpus)
    assert [one.source for one in read("*.txt", "news")[0]] == ["readme.txt", "news/1999/a.txt", "news/b.md"]
    monkeypatch.chdir(corpus / "news")
    assert [one.source for one in read(".")[0]] == ["1999/a.txt", "b.md"]


@pytest.mark.parametrize("name", ["a b.jsonl", "50%.jsonl", "z[1].jsonl", "naïve.jsonl", "q?x.jsonl", "a#b.jsonl"])
def test_names_with_odd_characters(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(records(1))
    assert texts(tmp_path / name) == ["text 0"]
    assert texts(tmp_path) == ["text 0"]
    assert texts(tmp_path.as_uri() + "/*.jsonl") == ["text 0"]
    [document] = read(tmp_path.as_uri())[0]
    assert document.source == f"file://{tmp_path}/{name}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing/*.jsonl", "matches no file"),
        ("nothing", "matches no file"),
        ("empty", "matches no file"),
        ("pictures", r"holds no file that is read here \(1 with .png\)"),
        ("pictures/*", r"a\.png: expected .jsonl"),
        ("data.parquet.gz", "expected .jsonl"),
        ("file://{}/nothing", "matches no file"),
        ("ftp://host/file.jsonl", "cannot be listed"),
    ],
)
def test_sources_that_hold_nothing_are_named(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.png").touch()
    (tmp_path / "data.parquet.gz").touch()
    source = source.format(tmp_path) if "://" in source else str(tmp_path / source)
    with pytest.raises(DataError, match=message) as caught:
        parts(DataConfig(sources=(source,)))
    assert source in str(caught.value).replace("'", "") or "expected" in message


def test_a_file_named_twice_is_refused(corpus: Path) -> None:
    with pytest.raises(DataError, match=r"readme\.txt is named twice"):
        parts(DataConfig(sources=(f"{corpus}/readme.txt", f"{corpus}/*.txt")))


def test_a_bucket_is_listed_and_read_like_a_folder(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = fs.SubTreeFileSystem(str(corpus.parent), fs.LocalFileSystem())  # stands in for S3: another filesystem

    def connect(address: str) -> tuple[fs.FileSystem, str]:
        inside = address.removeprefix("s3://key:secret@").removesuffix("?region=here")
        return bucket, urllib.parse.unquote(inside)

    expected = texts(corpus)
    monkeypatch.setattr(storage, "connect", connect)
    documents, _ = read("s3://key:secret@corpus?region=here")
    assert [one.text for one in documents] == expected
    assert documents[0].source == "s3://corpus/train-00000-of-00002.jsonl"
    config = DataConfig(sources=("s3://key:secret@corpus?region=here",))
    assert not any("secret" in f"{part.name}{part.identity()}" for part in parts(config))
    assert texts("s3://key:secret@corpus/n*/*.md?region=here") == ["# Weather\n\nRain."]


def test_buckets_are_opened_by_their_scheme_with_options() -> None:
    system, inside = storage.connect("s3://bucket/a b/x.jsonl?region=eu-west-1")
    assert (system.type_name, system.region, inside) == ("s3", "eu-west-1", "bucket/a b/x.jsonl")
    system, inside = storage.connect("gs://bucket/x.jsonl")
    assert (system.type_name, inside) == ("gcs", "bucket/x.jsonl")


def test_keys_of_a_bucket_are_not_shown() -> None:
    assert storage.shown("s3://key:secret@bucket/a%20b?region=x&secret_key=y") == "s3://bucket/a b"


def test_a_part_can_be_sent_to_another_process_and_is_the_same_there(corpus: Path) -> None:
    config = DataConfig(sources=(str(corpus),))
    for part in parts(config):
        sent = pickle.loads(pickle.dumps(part))
        assert sent == part
        assert hash(sent) == hash(part)
        assert list(read_part(sent, config, Counts(0))) == list(read_part(part, config, Counts(0)))
        json.dumps(part.identity(), allow_nan=False)


# ---- text files


def test_text_files_that_cannot_be_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LONGEST_RECORD", 1000)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "wide.txt").write_text("wide", encoding="utf-16")
    (tmp_path / "nul.txt").write_bytes(b"a\0b")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "long.txt").write_text("x" * 1001)
    (tmp_path / "broken.txt.gz").write_bytes(b"no gzip")
    (tmp_path / "good.txt").write_text("good")
    documents, counts = read(tmp_path)
    assert [document.text for document in documents] == ["good"]
    shown = {line for examples in counts.examples.values() for line in examples}
    assert {line.removeprefix(f"{tmp_path}/").partition(" (")[0] for line in shown} == {
        "latin.txt: not UTF-8",
        "wide.txt: not UTF-8",
        "nul.txt: NUL character in the text",
        "empty.txt: empty text",
        "long.txt: file too long",
        "broken.txt.gz: the file cannot be read",
    }
    assert "wide.txt: not UTF-8 (the file is UTF-16)" in str(shown)


def test_many_text_files_are_few_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "GROUP_FILES", 4)
    for domain in ("a", "b"):
        (tmp_path / domain).mkdir()
        for number in range(6):
            (tmp_path / domain / f"{number}.txt").write_text(f"{domain} {number}")
    made = parts(DataConfig(sources=(str(tmp_path),)))
    assert [(part.domain, len(part.paths)) for part in made] == [("a", 4), ("a", 2), ("b", 4), ("b", 2)]
    assert made[0].name == f"{tmp_path}/a/0.txt and 3 more"
    assert texts(tmp_path) == [f"{domain} {number}" for domain in "ab" for number in range(6)]
    before = made[1].identity()
    (tmp_path / "a/5.txt").write_text("other")
    after = parts(DataConfig(sources=(str(tmp_path),)))
    assert after[1].identity() != before
    assert after[0] == made[0]
