"""Sets of tensorflow-datasets and Hugging Face are read like files, without TensorFlow and without a network."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reading import read_documents

from bench_shadows.config import DataConfig, FieldsConfig
from bench_shadows.data.corpus.documents import Counts, Document, parts, read_part
from bench_shadows.data.corpus.sources import hf, tfds
from bench_shadows.errors import DataError

pytestmark = [pytest.mark.peers, pytest.mark.timeout(120)]  # tensorflow-datasets and datasets are extras
FIELDS = FieldsConfig(text="body", language="meta.lang", kind="kind")


def read(source: str, limit: int = 0) -> list[Document]:
    config = DataConfig(sources=(source,), fields=FIELDS, bad_records_limit=limit)
    return list(read_documents(config, Counts(limit)))


def rows(count: int) -> list[dict[str, Any]]:
    return [{"body": f"Text {n}: é.", "meta": {"lang": "de"}, "kind": "text"} for n in range(count)]


# ---- tensorflow-datasets


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 40 and 7 examples, prepared as a user would, in array_record."""
    library = pytest.importorskip("tensorflow_datasets")

    class Tales(library.core.GeneratorBasedBuilder):
        VERSION = library.core.Version("1.2.0")

        def _info(self) -> Any:
            text = library.features.Text()
            features = library.features.FeaturesDict({"body": text, "meta": {"lang": text}, "kind": text})
            return library.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager: Any) -> Any:
            return {"train": self._generate_examples(40), "test": self._generate_examples(7)}

        def _generate_examples(self, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
            yield from enumerate(rows(count))

    library.disable_progress_bar()
    builder = Tales(data_dir=tmp_path_factory.mktemp("tfds"), file_format="array_record")
    builder.download_and_prepare()
    return Path(builder.data_path)


def test_a_set_of_tensorflow_datasets_is_read_from_its_folder(prepared: Path) -> None:
    documents = read(f"tfds:{prepared}")
    assert sorted(one.text for one in documents) == sorted(row["body"] for row in rows(40))
    assert {(one.domain, one.language, one.kind) for one in documents} == {("tales", "de", "text")}
    assert documents[3].id == f"tfds:{prepared} [3]"
    assert len(read(f"tfds:{prepared}@test")) == 7
    assert [one.text for one in read(f"tfds:{prepared}@train[10:30]")] == [one.text for one in documents[10:30]]


def test_a_set_of_tensorflow_datasets_is_several_parts(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfds, "PIECE", 18)
    config = DataConfig(sources=(f"tfds:{prepared}",), fields=FIELDS)
    made = parts(config)
    assert [(part.begin, part.end) for part in made] == [(0, 18), (18, 36), (36, 40)]
    pieces = [one.text for part in made for one in read_part(part, config, Counts(0))]
    assert pieces == [one.text for one in read(f"tfds:{prepared}")]
    assert made[0].identity()["set"] == "tales/1.2.0"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tfds:{}@nosuch", "no split 'nosuch'; there are train, test"),
        ("tfds:{}/nosuch", "cannot be opened"),
        ("tfds:nosuch_set_anywhere", "cannot be opened: Dataset nosuch_set_anywhere not found"),
        ("tfds:mnist:3.0.1", "not prepared on this machine"),
    ],
)
def test_a_set_that_is_not_there_is_named(
    prepared: Path, source: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match=message):
        read(source.format(prepared))


def test_a_damaged_set_is_counted(prepared: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "tales" / "1.2.0"
    shutil.copytree(prepared, copy)
    [shard] = copy.glob("*train*")
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    with pytest.raises(DataError, match=r"tfds:.* \[0\]: "):
        read(f"tfds:{copy}")


def test_tensorflow_is_not_imported(prepared: Path) -> None:
    program = f"""
import sys
from bench_shadows.config import DataConfig, FieldsConfig
from bench_shadows.data.corpus.documents import Counts, parts, read_part
config = DataConfig(sources=("tfds:{prepared}",), fields=FieldsConfig(text="body"))
print(sum(len(list(read_part(part, config, Counts(0)))) for part in parts(config)), "tensorflow" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.stdout, result.returncode) == ("40 False\n", 0), result.stderr


# ---- Hugging Face


@pytest.fixture(scope="module")
def without_torch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, without_torch: pytest.MonkeyPatch) -> Path:
    """Folders as users have them: data files by split, and what `save_to_disk` writes."""
    library = pytest.importorskip("datasets")
    without_torch.setattr(library.config, "TORCH_AVAILABLE", False)  # else it is imported, for many seconds
    folder = tmp_path_factory.mktemp("hf")
    (folder / "files").mkdir()
    made = library.Dataset.from_list(rows(20))
    library.disable_progress_bars()
    for shard in range(2):
        made.shard(2, shard).to_parquet(folder / "files" / f"train-0000{shard}-of-00002.parquet")
    library.Dataset.from_list(rows(3)).to_json(folder / "more.jsonl")
    made.save_to_disk(folder / "one", num_shards=2)
    library.DatasetDict({"train": made, "test": library.Dataset.from_list(rows(3))}).save_to_disk(
        folder / "splits"
    )
    return folder


@pytest.mark.parametrize("name", ["files", "one", "splits"])
def test_a_folder_is_streamed(saved: Path, name: str) -> None:
    documents = read(f"hf:{saved}/{name}")
    assert sorted(one.text for one in documents) == sorted(row["body"] for row in rows(20))
    assert {(one.domain, one.language, one.kind) for one in documents} == {(name, "de", "text")}
    assert len({one.id for one in documents}) == 20


def test_each_shard_is_a_part(saved: Path) -> None:
    config = DataConfig(sources=(f"hf:{saved}/files",), fields=FIELDS)
    made = parts(config)
    assert [part.name for part in made] == [f"hf:{saved}/files [shard {n} of 2]" for n in (1, 2)]
    assert [len(list(read_part(part, config, Counts(0)))) for part in made] == [10, 10]
    assert len(read(f"hf:{saved}/splits@test")) == 3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hf:{}/files@nosuch", "cannot be opened: Bad split: nosuch"),
        ("hf:{}/splits@nosuch", "cannot be opened"),
        ("hf:{}/files:nosuch", "cannot be opened: BuilderConfig 'nosuch' not found"),
    ],
)
def test_a_split_or_config_that_is_not_there_is_named(saved: Path, source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(source.format(saved))


def test_a_set_that_cannot_be_looked_up_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("datasets") and pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(library.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        DataError, match="'hf:nobody/nothing' is no folder here and cannot be looked up on the hub"
    ):
        read("hf:nobody/nothing")


@pytest.mark.parametrize(
    ("source", "module", "extra"), [("hf:x", "datasets", "hf"), ("tfds:x", "tensorflow_datasets", "tfds")]
)
def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, source: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    hf._stream.cache_clear()
    tfds._builder.cache_clear()
    with pytest.raises(DataError, match=rf"pip install 'bench-shadows\[{extra}\]'"):
        read(source)
