"""Where the models of an audit are: what a user names becomes weights that are open, with a name for the tables.

A model is a folder of safetensors files, one such file, Flax's msgpack file, an Orbax checkpoint (a run of ours, a
folder of Orbax's CheckpointManager, a step, or an item of it), or a name on the Hugging Face hub where that can be
reached.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bench_shadows.diagnostics.weights.flax_msgpack import SUFFIX
from bench_shadows.diagnostics.weights.safetensors import some
from bench_shadows.diagnostics.weights.weights import Weights, open_weights
from bench_shadows.errors import RunError
from bench_shadows.files import hash_json
from bench_shadows.progress import say

DIGESTS = "digests.json"
_UNVERIFIED = (
    f"Not verified: an Orbax checkpoint without {DIGESTS}. Orbax reads damaged values without an error, so a "
    "flipped byte would be taken for a weight."
)
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_PLAIN_FOLDERS = ("model", "checkpoint", "final", "weights")  # names that say nothing
_STEP = re.compile(r"(?:[A-Za-z]+[_-])?([0-9]{1,18})")  # of CheckpointManager, with a prefix or without
_ITEMS = ("params", "default", "items", "state", "train_state", "model")  # in the order they are looked for
_HUB_FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", "adapter_config.json")

# What of config.json says how a model is built; of text and vision alike.
_ARCHITECTURE = (
    *("model_type", "architectures", "hidden_size", "n_embd", "embed_dim", "intermediate_size", "n_inner"),
    *(
        "num_hidden_layers",
        "n_layer",
        "depth",
        "num_attention_heads",
        "n_head",
        "num_heads",
        "num_key_value_heads",
    ),
    *("head_dim", "vocab_size", "hidden_act", "tie_word_embeddings", "rope_theta", "max_position_embeddings"),
    *("sliding_window", "num_experts", "num_local_experts", "n_routed_experts", "num_experts_per_tok"),
    *("moe_intermediate_size", "patch_size", "image_size", "torch_dtype", "dtype"),
)
_SECTIONS = {"text_config": "text", "llm_config": "text", "vision_config": "vision"}


@dataclass(frozen=True)
class Source:
    """One model, open: shapes are known, values are read later."""

    given: str
    """As the user named it."""
    name: str
    """In the tables."""
    path: Path
    format: Literal["safetensors", "orbax", "msgpack"]
    weights: Weights
    role: Literal["model", "merged", "update"] = "model"
    """`merged`: a base with an adapter in it; `update`: an adapter's update, which is no model."""

    @property
    def identity(self) -> str:
        """Hash of what the diagnostics are a function of: files by size and time, and how they are cut up."""
        stats = [(path, path.stat()) for path in self.weights.files]
        files = [[path.name, stat.st_size, stat.st_mtime_ns] for path, stat in stats]
        return hash_json([files, self.role, [repr(stack) for stack in self.weights.stacks]])

    @property
    def bytes(self) -> int:
        """Size of the files."""
        return sum(path.stat().st_size for path in self.weights.files)


def open_source(given: str, embeddings: bool = False, layout: Mapping[str, str] | None = None) -> Source:
    """The model that a user names. Raises RunError where there is none, or it cannot be trusted.

    Args:
      given: a path, or a name on the hub.
      embeddings: whether embeddings and output heads are analysed too.
      layout: axes of tensors that cannot be told, by patterns of names; see `families.sort_tensors`.
    """
    path = Path(given)
    name = None
    if not path.exists():
        name, path = given, _from_hub(given)
    path = path.resolve() if path.name in ("", ".", "..") else path
    if params := _orbax_params(path):
        weights = open_weights(params, embeddings, layout)
        if not (params.parent / DIGESTS).is_file():
            weights = replace(weights, notices=(*weights.notices, _UNVERIFIED))
        return Source(given, _orbax_name(params), params, "orbax", weights)
    weights = open_weights(path, embeddings, layout)
    packed = bool(weights.files) and all(file.suffix == SUFFIX for file in weights.files)
    return Source(given, name or _name(path), path, "msgpack" if packed else "safetensors", weights)


def with_unique_names(sources: Sequence[Source]) -> list[Source]:
    """The same models; those of one name are told apart by the folders above them, or by number."""

    def renamed(name: str, source: Source, i: int) -> str:
        if sum(other.name == name for other in sources) == 1:
            return name
        longer = f"{source.path.absolute().parent.name}/{name}"
        same = [other for other in sources if other.name == name]
        parents = [other.path.absolute().parent.name for other in same]
        return longer if len(set(parents)) == len(parents) else f"{name} ({i})"

    return [replace(source, name=renamed(source.name, source, i)) for i, source in enumerate(sources, 1)]


def architecture(config: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json says about how the model is built: plain values under flat names (`vision.hidden_size`)."""
    found = {}
    parts = [("", config)]
    parts += [(f"{short}.", config[key]) for key, short in _SECTIONS.items() if isinstance(config.get(key), dict)]
    for prefix, part in parts:
        for key in _ARCHITECTURE:
            if (value := _plain(part.get(key))) is not None:
                found[prefix + key] = value
    quantisation = config.get("quantization_config")
    if isinstance(quantisation, dict) and (method := _plain(quantisation.get("quant_method"))) is not None:
        found["quant_method"] = method
    return found


def _plain(value: Any) -> Any:
    """Numbers, words and short lists of them; None for everything else."""
    if isinstance(value, bool | int):
        return value if abs(value) < 2**53 else None
    if isinstance(value, float):
        return value if abs(value) < 1e300 else None  # neither NaN nor infinite
    if isinstance(value, str):
        return value[:200]
    if isinstance(value, list) and len(value) <= 8:
        items = [_plain(item) for item in value]
        return None if None in items else items
    return None


def _name(path: Path) -> str:
    """A file's or folder's name; a hub cache's folder is called as on the hub."""
    path = path.absolute()
    folder = path.parent if path.is_file() else path
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        return folder.parent.parent.name.removeprefix("models--").replace("--", "/")
    if path.is_file() and path.stem != "model":
        return path.stem
    return f"{folder.parent.name}/{folder.name}" if folder.name in _PLAIN_FOLDERS else folder.name


# Orbax --------------------------------------------------------------------------------------------------------


def _orbax_params(path: Path) -> Path | None:
    """The item that holds the parameters of what may be an Orbax checkpoint; None where it is none.

    Of a folder of steps the newest is taken. Raises RunError where there are several to choose from, or where a
    file differs from its digest.
    """
    params = _item(path)
    if params is None:
        folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
        if runs := sorted(run.name for run in (path / "runs").glob("*") if (run / "checkpoints").is_dir()):
            raise RunError(
                f"{path}: a study of {len(runs)} runs ({some(runs, 8)}); name one, as {path}/runs/{runs[0]}"
            )
        steps = sorted(
            (int(match[1]), step)
            for step in folder.glob("*")
            if (match := _STEP.fullmatch(step.name)) and step.is_dir()
        )
        params = next((item for _, step in reversed(steps) if (item := _item(step)) is not None), None)
        if params is None:
            return None
    if (params.parent / DIGESTS).is_file():
        from bench_shadows.training.checkpoints.checkpoints import find_fault

        if fault := find_fault(params.parent):
            raise RunError(f"{fault}; audit another step, or let the train stage make it again")
    return params


def _item(path: Path) -> Path | None:
    """A folder of Orbax's itself, or the one in a step's folder that holds parameters."""
    if (path / "_METADATA").is_file():
        return path
    found = sorted(folder.name for folder in path.glob("*") if (folder / "_METADATA").is_file())
    known = [name for name in _ITEMS if name in found]
    if len(found) > 1 and not known:
        raise RunError(
            f"{path}: a checkpoint of {len(found)} items ({some(found, 8)}); name one, as {path}/{found[0]}"
        )
    return path / (known or found)[0] if found else None


def _orbax_name(params: Path) -> str:
    """`A-seed0 step 180` for a checkpoint of a run; else the names of its folders."""
    step, above = params.absolute().parent, params.absolute().parent.parent
    if params.name in _ITEMS and (match := _STEP.fullmatch(step.name)):
        run = above.parent.name if above.name == "checkpoints" else above.name
        return f"{run} step {match[1]}"
    return params.absolute().name if params.name not in _ITEMS else step.name


# The hub ------------------------------------------------------------------------------------------------------


def _from_hub(name: str) -> Path:
    """The folder of a model that is fetched from the hub, or is in its cache."""
    if not _HUB_NAME.fullmatch(name):
        raise RunError(f"{name}: no such file or folder, and not a name on the hub (OWNER/NAME)")
    try:
        import huggingface_hub
    except ImportError as error:
        raise RunError(
            f"{name}: no such folder here, and huggingface_hub, which would fetch it, is not installed; "
            "pip install huggingface_hub, or name a folder"
        ) from error
    say(f"{name}: not a folder here; asking the hub for it")
    try:
        folder = huggingface_hub.snapshot_download(name, allow_patterns=list(_HUB_FILES))
    except Exception as error:  # many kinds, by version: no network, no such name, not allowed, disk full
        reason = " ".join(str(error).split())[:300]
        raise RunError(
            f"{name}: no such folder here, and the hub did not give it ({type(error).__name__}: {reason}); "
            "fetch it where the hub can be reached, and name the folder"
        ) from error
    return Path(folder)
