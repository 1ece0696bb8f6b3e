"""safetensors files from anybody: sound ones give their values, others one clear error; nothing else is read."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from checkpoint_files import save_model, write_raw, write_safetensors
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.diagnostics.weights.weights import families, open_weights, safetensors
from bench_shadows.errors import RunError

ONE = {"a.weight": ("F32", np.zeros((4, 6), np.float32))}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cut": 1}, "beyond the file's end"),
        ({"data_offsets": [0, 8]}, "has 8 bytes, not 96"),
        ({"data_offsets": [-8, 88]}, "lacks dtype, shape or data_offsets"),
        ({"data_offsets": [96, 0]}, "beyond the file's end"),
        ({"data_offsets": [True, 96]}, "lacks dtype, shape or data_offsets"),
        ({"data_offsets": [0.0, 96.0]}, "lacks dtype, shape or data_offsets"),
        ({"data_offsets": None}, "lacks dtype, shape or data_offsets"),
        ({"data_offsets": [10**30, 10**30 + 96]}, "beyond the file's end"),
        ({"shape": "wide"}, "lacks dtype, shape or data_offsets"),
        ({"shape": [-4, -6]}, "lacks dtype, shape or data_offsets"),
        ({"shape": [2**62, 2**62]}, "has 96 bytes, not"),
        ({"shape": [1] * 40}, "has 40 dimensions"),
        ({"dtype": 7}, "lacks dtype, shape or data_offsets"),
    ],
)
def test_a_broken_file_is_named_with_its_tensor(tmp_path: Path, settings: dict, message: str) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", ONE, **settings)
    with pytest.raises(RunError, match=message) as caught:
        open_weights(path)
    assert str(path) in str(caught.value)
    assert "a.weight" in str(caught.value)


def entry(begin: int, end: int) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ({"a": entry(0, 8), "b": entry(4, 12)}, 12, "tensor b begins at 4 where the one before it ends at 8"),
        ({"a": entry(0, 8), "b": entry(9, 12)}, 12, "tensor b begins at 9"),
        ({"a": entry(0, 8)}, 12, "end 4 bytes before it does"),
        ([1, 2], 0, "not a JSON object"),
        ({"a": [0, 8]}, 8, "tensor a lacks dtype"),
    ],
)
def test_a_header_that_lies_is_found_out(tmp_path: Path, header: Any, data: int, message: str) -> None:
    path = write_raw(tmp_path / "model.safetensors", json.dumps(header).encode(), bytes(data))
    with pytest.raises(RunError, match=message):
        safetensors.read_header(path)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"", "header of 0 bytes does not fit its 0 bytes"),
        (b"\xff" * 20, "does not fit its 20 bytes"),
        ((1 << 40).to_bytes(8, "little") + b"{}", "does not fit its 10 bytes"),
        (b"PK\x03\x04" + b"x" * 40, "a zip archive, as torch.save writes it: a pickle"),
        (b"\x80\x02}q\x00X" + b"x" * 40, "a pickle, and loading one runs code from it"),
        (b"<!DOCTYPE html>" + b"x" * 40, "the download went wrong"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ((4).to_bytes(8, "little") + b"\xff\xfe{}", "not JSON"),
        ((30000).to_bytes(8, "little") + b"[" * 30000, "not JSON"),
        ((52).to_bytes(8, "little") + b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}', "not JSON"),
    ],
)
def test_what_is_no_safetensors_file_is_called_what_it_is(tmp_path: Path, start: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(start)
    with pytest.raises(RunError, match=message):
        open_weights(path)


def test_a_header_longer_than_any_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as file:  # 1 GiB of nothing, sparse
        file.write((1 << 30).to_bytes(8, "little"))
        file.truncate((1 << 30) + 8)
    with pytest.raises(RunError, match="at most 100,000,000"):
        open_weights(path)


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    tensor = b'"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}'
    path = write_raw(tmp_path / "model.safetensors", b"{" + tensor + b", " + tensor + b"}", b"x")
    with pytest.raises(RunError, match="the name a stands twice"):
        open_weights(path)
    for shard in "12":
        write_safetensors(tmp_path / f"model-{shard}.safetensors", ONE)
    path.unlink()
    with pytest.raises(RunError, match=r"a\.weight stands in model-1.safetensors and in model-2.safetensors"):
        open_weights(tmp_path)


def test_names_from_a_file_are_printable_and_short_in_messages(tmp_path: Path) -> None:
    name = "\x1b[31m" + "<b>" * 100
    path = write_safetensors(tmp_path / "m.safetensors", {name: ONE["a.weight"]}, data_offsets=None)
    with pytest.raises(RunError) as caught:
        open_weights(path)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_index_decides_which_file_a_tensor_is_from(tmp_path: Path) -> None:
    tensors = {f"model.layers.{i}.mlp.up_proj.weight": np.full((4, 6), i, np.float32) for i in range(5)}
    save_model(tmp_path, tensors, shards=2)
    write_safetensors(tmp_path / "consolidated.safetensors", {"other": ONE["a.weight"]})
    (tmp_path / "2_Dense").mkdir()
    write_safetensors(tmp_path / "2_Dense" / "model.safetensors", ONE)
    opened = open_weights(tmp_path)
    (stack,) = opened.stacks
    assert [matrix[0, 0] for matrix in opened.read(stack)] == [0, 1, 2, 3, 4]
    assert opened.notices == (
        "1 files that the index does not name were left out: consolidated.safetensors",
        "1 files in folders below were left out: 2_Dense/model.safetensors",
    )
    index = tmp_path / "model.safetensors.index.json"
    where = json.loads(index.read_text())["weight_map"]
    index.write_text(json.dumps({"weight_map": where | {"gone": "model-00001-of-00002.safetensors"}}))
    assert "1 tensors that the index names are in no file: gone" in open_weights(tmp_path).notices


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("model-9.safetensors", "model-9.safetensors is named but is not there"),
        ("../outside.safetensors", "leads out of the folder"),
        ("/etc/passwd", "leads out of the folder"),
        ("sub/../../outside.safetensors", "leads out of the folder"),
        ("", "leads out of the folder"),
        ("..", "leads out of the folder"),
        ("a\0b", "leads out of the folder"),
    ],
)
def test_an_index_that_names_what_is_not_in_the_folder_is_refused(tmp_path: Path, file: str, message: str) -> None:
    write_safetensors(tmp_path / "outside.safetensors", ONE)
    folder = tmp_path / "model"
    save_model(folder, {"a.weight": np.zeros((4, 6), np.float32)})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a.weight": file}}))
    with pytest.raises(RunError, match=message):
        open_weights(folder)


@pytest.mark.parametrize("text", ["", "[]", '{"weight_map": {}}', '{"weight_map": {"a": 3}}', "{" * 5000])
def test_an_index_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    save_model(tmp_path, {"a.weight": np.zeros((4, 6), np.float32)})
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(RunError, match=r"not JSON|not an index"):
        open_weights(tmp_path)


def test_a_link_out_of_the_folder_is_refused_and_a_hubs_cache_is_not(tmp_path: Path) -> None:
    outside = write_safetensors(tmp_path / "outside.safetensors", ONE)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(outside)
    with pytest.raises(RunError, match="leads out of the folder"):
        open_weights(folder)
    (folder / "model.safetensors").unlink()
    save_model(folder, {"a.weight": np.zeros((4, 6), np.float32)})
    (tmp_path / "config.json").write_text("{}")
    (folder / "config.json").symlink_to("../config.json")
    with pytest.raises(RunError, match=r"config\.json leads out of the folder"):
        open_weights(folder)
    cache = tmp_path / "models--a--b"
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots" / "1f2e").mkdir(parents=True)
    write_safetensors(cache / "blobs" / "99", ONE)
    (cache / "snapshots" / "1f2e" / "model.safetensors").symlink_to("../../blobs/99")
    assert len(open_weights(cache / "snapshots" / "1f2e").stacks) == 1


def test_pickles_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(b"PK\x03\x04")
    for given_path in (path, tmp_path):
        with pytest.raises(RunError, match="loading a pickle runs code from it"):
            open_weights(given_path)
    save_model(tmp_path, {"a.weight": np.zeros((4, 6), np.float32)})
    assert len(open_weights(tmp_path).stacks) == 1, "safetensors beside a pickle are read"


def test_folders_and_devices_in_the_place_of_files(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(RunError, match=r"no \.safetensors files"):
        open_weights(tmp_path)
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(RunError, match=r"no \.safetensors files"):
        open_weights(tmp_path)


@pytest.mark.parametrize("name", ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_every_floating_dtype_is_read_without_torch(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(0).normal(size=(9, 16)).astype(getattr(ml_dtypes, name, name))
    save_model(tmp_path, {"m.weight": values})
    opened = open_weights(tmp_path)
    (stack,) = opened.stacks
    assert stack.dtype == name
    np.testing.assert_array_equal(opened.read(stack)[0], values)


@pytest.mark.parametrize("kind", ["block", "row", "number"])
def test_fp8_values_are_multiplied_by_their_scales(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(1)
    stored = rng.normal(size=(2, 200, 300)).astype(ml_dtypes.float8_e4m3fn)
    scale = {
        "block": rng.uniform(1, 2, (2, 2, 3)),
        "row": rng.uniform(1, 2, (2, 200, 1)),
        "number": np.ones((2, 1)),
    }[kind].astype(np.float32)
    tensors: dict[str, np.ndarray] = {}
    for layer in range(2):
        tensors[f"model.layers.{layer}.mlp.up_proj.weight"] = stored[layer]
        ending = "_scale_inv" if kind == "block" else "_scale"
        tensors[f"model.layers.{layer}.mlp.up_proj.weight{ending}"] = scale[layer]
    save_model(tmp_path, tensors)
    opened = open_weights(tmp_path)
    (stack,) = opened.stacks
    assert set(opened.skipped.values()) == {"scale of a quantised tensor"}
    for layer in range(2):
        for row, column in ((0, 0), (130, 5), (199, 299), (127, 128)):
            factor = {"block": scale[layer, row // 128, column // 128] if kind == "block" else 0,
                      "row": scale[layer, row, 0] if kind == "row" else 0, "number": 1}[kind]  # fmt: skip
            expected = np.float32(stored[layer, row, column]) * np.float32(factor)
            assert opened.read(stack)[layer, row, column] == expected


def test_fp8_without_a_scale_that_fits_is_a_notice(tmp_path: Path) -> None:
    values = np.ones((9, 16), ml_dtypes.float8_e4m3fn)
    save_model(tmp_path, {"m.weight": values, "m.weight_scale_inv": np.ones((7, 7), np.float32)})
    assert open_weights(tmp_path).notices[0].startswith("1 fp8 tensors have no scale that fits")


# Fuzz ---------------------------------------------------------------------------------------------------------

opened_files: list[str] = []
watching = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if watching and event == "open":
        opened_files.append(str(arguments[0]))


sys.addaudithook(_watch)
families.sort_tensors({})  # reads its tables once


numbers = st.one_of(
    st.integers(-3, 200), st.integers(), st.booleans(), st.floats(), st.none(), st.text(max_size=3)
)
tensors = st.one_of(
    st.fixed_dictionaries(
        {
            "dtype": st.one_of(st.sampled_from([*safetensors.DTYPES, "F4", ""]), numbers),
            "shape": st.one_of(st.lists(numbers, max_size=4), numbers),
            "data_offsets": st.one_of(st.lists(numbers, max_size=3), st.tuples(numbers, numbers), numbers),
        }
    ),
    numbers,
)
names = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["../x", "/etc/passwd", "model.layers.0.mlp.up_proj.weight", "__metadata__"]),
)
headers = st.one_of(
    st.binary(max_size=60),
    st.dictionaries(names, tensors, max_size=4).map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=250, deadline=None)
@given(
    header=headers,
    length=st.one_of(st.none(), st.integers(0, 2**64 - 1)),
    data=st.binary(max_size=100),
    where=st.one_of(st.none(), st.dictionaries(names, st.one_of(names, numbers), max_size=3)),
)
def test_no_header_and_no_index_crashes_or_leads_out_of_the_folder(
    tmp_path_factory: pytest.TempPathFactory, header: bytes, length: int | None, data: bytes, where: Any
) -> None:
    global watching
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / "model.safetensors"
    real = len(header) if length is None else length
    path.write_bytes(real.to_bytes(8, "little") + header + data)
    if where is not None:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    message = str(folder)
    opened_files.clear()
    watching = True
    try:
        found = open_weights(folder)
        for stack in found.stacks:
            found.read(stack)
    except RunError as error:
        message = str(error)
    finally:
        watching = False
    assert str(folder) in message
    assert all(Path(file).is_relative_to(folder) for file in opened_files), opened_files


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=5), cut=st.integers(0, 40)
)
def test_a_sound_file_is_read_and_each_of_its_beginnings_is_refused(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[int, int]], cut: int
) -> None:
    arrays = {f"m{i}.weight": np.full(size, i, np.float32) for i, size in enumerate(sizes)}
    path = tmp_path_factory.mktemp("sound") / "m.safetensors"
    write_safetensors(path, {name: ("F32", array) for name, array in arrays.items()}, cut=cut)
    if cut:
        with pytest.raises(RunError):
            open_weights(path)
        return
    found = open_weights(path)
    for stack in found.stacks:
        for name, matrix in zip(stack.tensors, found.read(stack), strict=True):
            np.testing.assert_array_equal(matrix, arrays[name])
    assert set(found.skipped) == {name for name, array in arrays.items() if not array.size}
