"""The built-in corpus: archives are pinned, never run, read as bytes, and made into documents once."""

import collections
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import textwrap
import tomllib
import zipfile
from pathlib import Path

import pytest
from pygments.lexers import get_lexer_by_name

from bench_shadows.config import DataConfig
from bench_shadows.data.corpus import store, workers
from bench_shadows.data.corpus.builtin import archives, builtin, readers
from bench_shadows.data.corpus.builtin.archives import Archive
from bench_shadows.data.corpus.document import Document
from bench_shadows.data.corpus.ingest import ingest
from bench_shadows.errors import DataError

POEM = "\n".join(f"Line {number} of a poem long enough to be a document of its own." for number in range(40))
PAGE = "Title\n=====\n\n" + "A page of the documentation that says something at some length. " * 20
CODE = "def answer() -> int:\n    return 42\n\n\n" * 10


def sdist(folder: Path, name: str, files: dict[str, bytes], build: bool = True) -> Path:
    """A real sdist whose setup.py leaves a mark when it is run."""
    mark = folder / "it-was-run"
    setup = (
        f"open({str(mark)!r}, 'w').close()\nfrom setuptools import setup\nsetup(name={name!r}, version='1.0')\n"
    )
    whole = {"PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(), **files}
    if build:
        whole["setup.py"] = setup.encode()
    path = folder / f"{name}-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for member, data in whole.items():
            info = tarfile.TarInfo(f"{name}-1.0/{member}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def wheel(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    own = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in {**files, **own}.items():
            archive.writestr(member, data)
    return path


def entry(path: Path, parts: str, sha256: str | None = None) -> str:
    """One archive of a recipe, in TOML."""
    data = path.read_bytes()
    head = f"""
        [[archive]]
        name = "{path.name.split("-1.0")[0]}"
        version = "1.0"
        form = "{"wheel" if path.suffix == ".whl" else "sdist"}"
        sha256 = "{sha256 or hashlib.sha256(data).hexdigest()}"
        size = {len(data)}
        license = "MIT"
    """
    return textwrap.dedent(head) + textwrap.dedent(parts)


def part(members: str, reader: str = "whole", kind: str = "text", language: str = "en", more: str = "") -> str:
    return (
        f'[[archive.part]]\nmembers = ["{members}"]\ndomain = "tales"\nlanguage = "{language}"\nkind = "{kind}"\n'
        f'reader = "{reader}"\n{more}\n'
    )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip is configured to look for archives in, and nowhere else; an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("BENCH_SHADOWS_CACHE", str(tmp_path / "cache"))
    return folder


def recipe(folder: Path, *entries: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text("\n".join(entries), encoding="utf-8")
    return path


def archive_of(path: Path) -> Archive:
    data = path.read_bytes()
    form = "wheel" if path.suffix == ".whl" else "sdist"
    return Archive(path.name.split("-1.0")[0], "1.0", form, hashlib.sha256(data).hexdigest(), len(data))


def test_an_sdist_and_a_wheel_become_documents_and_nothing_in_them_is_run(index: Path, tmp_path: Path) -> None:
    files = {"docs/b.txt": PAGE.encode(), "docs/a.txt": POEM.encode(), "lib/x.py": CODE.encode()}
    one = sdist(index, "onepackage", files)
    two = wheel(index, "twopackage", {"twopackage/rb/x.rb": CODE.encode(), "twopackage/__init__.py": b"1 / 0"})
    made = recipe(
        tmp_path,
        entry(one, part("docs/*.txt")),
        entry(two, part("twopackage/*/*", kind="code", language="folder", more='names = { rb = "ruby" }')),
    )
    documents = list(builtin.builtin_documents(made))
    assert [(one.id, one.language, one.kind, one.source) for one in documents] == [
        ("onepackage/docs/b.txt", "en", "text", "onepackage 1.0"),
        ("onepackage/docs/a.txt", "en", "text", "onepackage 1.0"),
        ("twopackage/twopackage/rb/x.rb", "ruby", "code", "twopackage 1.0"),
    ]
    assert documents[0].text == PAGE
    assert documents[0].domain == "tales"
    assert not (index / "it-was-run").exists()


def corpus_of(made: Path, folder: Path, threshold: float = 0.8) -> tuple[list[Document], dict]:
    """The built-in corpus of a recipe without duplicates, and what was counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtin, "RECIPE", made)
        corpus = ingest(DataConfig(near_duplicate_threshold=threshold), folder)
    return corpus.store.read(corpus.kept), corpus.report


def test_the_second_time_needs_neither_index_nor_archives(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sdist(index, "onepackage", {"a.txt": POEM.encode(), "b.txt": POEM.replace("\n", "\n\n").encode()})
    made = recipe(tmp_path, entry(one, part("*.txt")))
    documents, report = corpus_of(made, tmp_path / "first")
    assert [one.id for one in documents] == ["onepackage/a.txt"]
    assert report["builtin"]["documents"] == 2
    assert report["duplicates"]["exact"] == 1
    monkeypatch.setattr(archives, "fetch", None)
    monkeypatch.setattr(workers, "find_duplicates", None)
    monkeypatch.setattr(store, "write_part", None)
    assert corpus_of(made, tmp_path / "second") == (documents, report)


def test_another_recipe_or_threshold_is_another_corpus(index: Path, tmp_path: Path) -> None:
    one = sdist(index, "onepackage", {"a.txt": POEM.encode(), "b.txt": (POEM + "\nOne line more.").encode()})
    made = recipe(tmp_path, entry(one, part("a.txt")))
    assert len(corpus_of(made, tmp_path / "1")[0]) == 1
    made = recipe(tmp_path, entry(one, part("*.txt")))
    assert len(corpus_of(made, tmp_path / "2")[0]) == 1
    assert len(corpus_of(made, tmp_path / "3", threshold=1.0)[0]) == 2


def test_of_two_processes_one_makes_the_corpus_and_the_other_waits(index: Path, tmp_path: Path) -> None:
    made = recipe(tmp_path, entry(sdist(index, "onepackage", {"a.txt": POEM.encode()}), part("*.txt")))
    program = "import sys, pathlib; from bench_shadows.data.corpus.builtin.builtin import builtin_documents\n"
    program += "print(len(list(builtin_documents(pathlib.Path(sys.argv[1])))))"
    command = [sys.executable, "-c", program, str(made)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    ended = [process.communicate(timeout=120) for process in running]
    assert [out.strip() for out, _ in ended] == ["1", "1"]
    assert sum("is kept in" in said for _, said in ended) == 1


def test_bytes_other_than_the_pinned_ones_are_refused(index: Path, tmp_path: Path) -> None:
    one = sdist(index, "onepackage", {"a.txt": POEM.encode()})
    made = recipe(tmp_path, entry(one, part("*.txt"), sha256="0" * 64))
    with pytest.raises(DataError, match=r"onepackage 1\.0 \(sdist\)") as caught:
        list(builtin.builtin_documents(made))
    assert "hash" in str(caught.value).lower()
    assert not list((tmp_path / "cache").rglob("*.sdist"))
    assert not (index / "it-was-run").exists()


def test_without_index_and_cache_the_error_says_what_is_missing_where_and_what_to_do(
    index: Path, tmp_path: Path
) -> None:
    one, two = (sdist(index, name, {"a.txt": POEM.encode()}) for name in ("onepackage", "twopackage"))
    made = recipe(tmp_path, *(entry(path, part("*.txt")) for path in (one, two)))
    two.unlink()
    with pytest.raises(DataError) as caught:
        list(builtin.builtin_documents(made))
    message = str(caught.value)
    assert "twopackage 1.0 (sdist)" in message
    assert "onepackage" not in message
    assert str(tmp_path / "cache" / "archives") in message
    assert "PIP_INDEX_URL" in message
    assert "config.data.sources" in message
    kept = [path.name for path in (tmp_path / "cache" / "archives").iterdir()]
    assert [name.split("-")[0] for name in kept] == ["onepackage"]


def test_a_damaged_archive_in_the_cache_is_fetched_again(index: Path, tmp_path: Path) -> None:
    one = sdist(index, "onepackage", {"a.txt": POEM.encode()})
    archive = archive_of(one)
    path = archives.fetch([archive], tmp_path / "cache")[archive]
    damaged = bytearray(path.read_bytes())
    damaged[50] ^= 1
    path.write_bytes(damaged)
    assert archives.fetch([archive], tmp_path / "cache")[archive].read_bytes() == one.read_bytes()


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/outside.txt", "a/../../outside.txt", "..\\outside.txt"])
def test_a_member_outside_of_its_archive_is_refused(tmp_path: Path, name: str) -> None:
    for path in (sdist(tmp_path, "onepackage", {f"../{name}": b"x"}), wheel(tmp_path, "twopackage", {name: b"x"})):
        with pytest.raises(DataError, match="outside of itself"):
            list(archives.members(path, archive_of(path)))


def test_links_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "onepackage-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("onepackage-1.0/a.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    assert list(archives.members(path, archive_of(path))) == []


def test_a_glob_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    path = sdist(tmp_path, "onepackage", {"a.txt": POEM.encode()})
    made = recipe(tmp_path, entry(path, part("*.txt") + part("nowhere/*.md")))
    [(archive, parts)] = builtin.load_recipe(made)
    with pytest.raises(DataError, match=r"no member matches nowhere/\*\.md"):
        list(builtin.read_archive(archive, parts, path, collections.Counter()))


def test_an_archive_cut_short_is_an_error(tmp_path: Path) -> None:
    path = sdist(tmp_path, "onepackage", {"a.txt": os.urandom(100_000)})
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(DataError, match="cannot be read"):
        list(archives.members(path, archive_of(path)))


def test_what_is_not_text_is_left_out_and_counted(tmp_path: Path) -> None:
    files = {
        "good.txt": "\ufeff".encode() + POEM.replace("\n", "\r\n").encode(),
        "latin.txt": "caf\xe9 ".encode("latin-1") * 50,
        "nul.txt": b"a\0b" * 100,
        "long.txt": b"word " * 300_000,
        "short.txt": b"too short",
        "min.js": b"x=1;" * 1000,
        "data.js": b"x = 1;\n" * 200_000,
    }
    path = sdist(tmp_path, "onepackage", files, build=False)
    made = recipe(tmp_path, entry(path, part("*.txt") + part("*.js", kind="code", language="javascript")))
    [(archive, parts)] = builtin.load_recipe(made)
    left_out: collections.Counter[str] = collections.Counter()
    documents = list(builtin.read_archive(archive, parts, path, left_out))
    assert [one.text for one in documents] == [POEM]
    assert left_out == {
        "files that are not UTF-8": 1,
        "files with NUL characters": 1,
        "documents over 200,000 characters": 1,
        "documents under 100 characters": 1,
        "code with a line over 2,000 characters": 1,
        "code files over 1,000,000 bytes": 1,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('kind = "text"', 'kind = "tale"'), "kind is one of text, exercise, code, not 'tale'"),
        (('reader = "whole"', 'reader = "half"'), "reader is one of .*, not 'half'"),
        (('form = "sdist"', 'form = "egg"'), "form is sdist or wheel, not 'egg'"),
    ],
)
def test_a_recipe_that_cannot_be_names_archive_and_field(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    text = entry(sdist(tmp_path, "onepackage", {}), part("*"))
    with pytest.raises(DataError, match=f"onepackage: {message}"):
        builtin.load_recipe(recipe(tmp_path, text.replace(*change)))


def test_a_damaged_corpus_in_the_cache_is_named(index: Path, tmp_path: Path) -> None:
    made = recipe(tmp_path, entry(sdist(index, "onepackage", {"a.txt": POEM.encode()}), part("*.txt")))
    list(builtin.builtin_documents(made))
    [path] = (tmp_path / "cache").glob("corpus-*.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=re.escape(str(path))):
        list(builtin.builtin_documents(made))


def test_a_cache_that_cannot_be_written_is_named(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(tmp_path, entry(sdist(index, "onepackage", {"a.txt": POEM.encode()}), part("*.txt")))
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENCH_SHADOWS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match="set BENCH_SHADOWS_CACHE"):
        list(builtin.builtin_documents(made))


def test_the_cache_lies_where_the_platform_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_SHADOWS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/cache")
    monkeypatch.setattr("sys.platform", "linux")
    assert builtin.cache_folder() == Path("/somewhere/cache/bench-shadows")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert builtin.cache_folder() == Path.home() / ".cache" / "bench-shadows"
    monkeypatch.setattr("sys.platform", "darwin")
    assert builtin.cache_folder() == Path.home() / "Library" / "Caches" / "bench-shadows"
    monkeypatch.setenv("BENCH_SHADOWS_CACHE", "/mine")
    assert builtin.cache_folder() == Path("/mine")


def read(name: str, text: str, **options: object) -> list[str]:
    return list(readers.read(name, text, dict(options), "here"))


def test_a_play_is_cut_before_its_scenes() -> None:
    scene = "Enter a king.\nKING.\n" + "Words, words, words.\n" * 200
    play = (
        f"THE KING\n\nACT I.\n\nScene I. A hall.\n{scene}\nScene II. A field.\n{scene}ACT II. SCENE 1.\nThe end.\n"
    )
    documents = read("scenes", play)
    assert "".join(documents) == play
    assert [one.splitlines()[0] for one in documents] == ["THE KING", "Scene II. A field.", "ACT II. SCENE 1."]


def test_books_and_lines_are_cut_between_paragraphs_and_lose_no_word() -> None:
    paragraphs = [f"Paragraph {number} " + "word " * 100 for number in range(200)]
    documents = read("whole", "\n\n".join(paragraphs))
    assert "\n\n".join(documents).split() == " ".join(paragraphs).split()
    assert all(readers.PIECE <= len(one) < 2 * readers.PIECE for one in documents[:-1])
    reviews = [f"很好，第{number}次入住。" * 10 for number in range(100)]
    assert "\n\n".join(read("lines", "\n".join(reviews))).split("\n\n") == reviews


def test_records_are_formatted_and_grouped() -> None:
    rows = [{"book": book, "verse": verse, "text": f"{book}{verse}"} for book in "ab" for verse in (1, 2)]
    text = "\n".join(map(json.dumps, rows)) + "\n"
    assert read("records", text, template="{verse} {text}") == ["1 a1", "2 a2", "1 b1", "2 b2"]
    assert read("records", text, template="{verse} {text}", group=["book"]) == ["1 a1\n2 a2", "1 b1\n2 b2"]
    with pytest.raises(DataError, match="here: not what the reader `records` reads: KeyError: 'title'"):
        read("records", text, template="{title}")


def test_talks_have_a_line_for_each_turn() -> None:
    yaml = "categories:\n- ai\nconversations:\n- - Hello\n  - 'It''s me:\n    you know'\n- - \"Bye\"\n  - Bye\n"
    assert read("conversations", yaml) == ["- Hello\n- It's me: you know\n\n- Bye\n- Bye"]
    chat = {
        "x": {"prompt": "?", "messages": [[{"text": "Hi"}, {"text": "there "}], [{"text": ""}], [{"text": "Yo"}]]}
    }
    assert read("chats", json.dumps(chat)) == ["- Hi there\n- Yo"]


def test_a_compressed_member_is_read(tmp_path: Path) -> None:
    line = json.dumps({"text": POEM})
    path = wheel(tmp_path, "twopackage", {"twopackage/a.jsonl.gz": gzip.compress(line.encode())})
    made = recipe(tmp_path, entry(path, part("*.gz", reader="records", more='template = "{text}"')))
    [(archive, parts)] = builtin.load_recipe(made)
    [document] = builtin.read_archive(archive, parts, path, collections.Counter())
    assert document.id == "twopackage/twopackage/a.jsonl.gz"
    assert document.text == POEM


def test_every_archive_of_the_recipe_has_a_licence_and_a_note() -> None:
    entries = tomllib.loads(builtin.RECIPE.read_text(encoding="utf-8"))["archive"]
    free = {"BSD-2-Clause", "BSD-3-Clause", "MIT", "Apache-2.0", "LicenseRef-Public-Domain"}
    assert all(one["license"] in free and "note" in one for one in entries)
    assert len({one["name"] for one in entries}) == len(entries) == len(builtin.load_recipe())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Document], dict]:
    return corpus_of(builtin.RECIPE, tmp_path_factory.mktemp("corpus"))


@pytest.mark.network
@pytest.mark.timeout(600)
class TestTheRealCorpus:
    def test_is_large_and_balanced(self, corpus: tuple[list[Document], dict]) -> None:
        size: collections.Counter[str] = collections.Counter()
        for one in corpus[0]:
            count = len(one.text.encode())
            size.update({"all": count, one.domain: count, one.kind: count, f"{one.kind} {one.language}": count})
        assert size["all"] >= 40e6
        assert size["text zh"] >= 1e6
        assert size["code"] >= 5e6
        assert size["exercise"] >= 2e6
        domains = {one.domain for one in corpus[0]}
        assert domains >= {"documentation", "plays", "prose", "code", "exercises", "dialogue", "reviews"}
        assert max(size[domain] for domain in domains) < 0.5 * size["all"]
        assert all(size[domain] >= 1e6 for domain in domains)
        assert len({one.language for one in corpus[0] if one.kind == "code"}) >= 30

    def test_documents_have_ids_of_their_own_and_some_length(self, corpus: tuple[list[Document], dict]) -> None:
        assert len({one.id for one in corpus[0]}) == len(corpus[0])
        assert min(len(one.text) for one in corpus[0]) >= 50
        assert not any("\0" in one.text for one in corpus[0])

    def test_the_rewriter_has_a_lexer_for_every_language_of_code(
        self, corpus: tuple[list[Document], dict]
    ) -> None:
        for language in {one.language for one in corpus[0] if one.kind == "code"}:
            assert get_lexer_by_name(language)

    def test_little_is_left_out_or_repeated(self, corpus: tuple[list[Document], dict]) -> None:
        documents, report = corpus
        duplicates = report["duplicates"]
        assert len(documents) == duplicates["documents"] - duplicates["exact"] - duplicates["near"]
        assert 0 < duplicates["near"] < 0.1 * duplicates["documents"]
        assert report["builtin"]["left_out"]["documents under 100 characters"] < 0.5 * len(documents)

    def test_the_archives_name_only_build_backends_that_are_replaced(self) -> None:
        folder = builtin.cache_folder() / "archives"
        pinned = [archive for archive, _ in builtin.load_recipe()]
        for archive, path in archives.fetch(pinned, folder).items():
            if archive.form == "sdist":
                project = dict(archives.members(path, archive)).get("pyproject.toml", b"").decode()
                build = tomllib.loads(project).get("build-system", {})
                assert build.get("build-backend", archives.BACKENDS[0]) in archives.BACKENDS, archive
                assert "backend-path" not in build, archive
