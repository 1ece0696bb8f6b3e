"""A checkpoint as a Hugging Face folder: Llama's names and layout, safetensors, tokenizer and configs.

transformers, vLLM, lm-evaluation-harness and WeightWatcher load it as it is; so does `bench-shadows audit`.
"""

import json
from pathlib import Path
from typing import Any, Literal

from safetensors.numpy import save_file

from bench_shadows.config import Config
from bench_shadows.errors import RunError
from bench_shadows.files import atomic_path
from bench_shadows.model.huggingface import to_hugging_face
from bench_shadows.training.saved import find

Dtype = Literal["float32", "bfloat16"]


def export(checkpoint: Path, out: Path, dtype: Dtype = "float32") -> Path:
    """Writes a new folder `out` from RUN/runs/A-seed0 (its last step) or RUN/runs/A-seed0/checkpoints/180.

    model.safetensors, config.json, generation_config.json, tokenizer.json and tokenizer_config.json. In bfloat16
    the file is half as large, weights are rounded to 8 bits, and alpha moves by up to 0.03.

    Raises RunError for what is no checkpoint of a study, a damaged one, and a folder that is there already.
    """
    saved = find(checkpoint)
    if out.exists():
        raise RunError(f"{out} is there already; name another folder with --out")
    config, words = saved.config, saved.tokenizer()
    tensors = {name: array.astype(dtype, copy=False) for name, array in to_hugging_face(saved.params()).items()}
    with atomic_path(out) as temporary:
        temporary.mkdir(parents=True)
        save_file(tensors, temporary / "model.safetensors", {"format": "pt"})
        words.save(temporary / "tokenizer.json")
        ending = words.end_of_text_name
        files = {
            "config.json": llama_config(config, words.end_of_text, dtype),
            "generation_config.json": {
                "eos_token_id": words.end_of_text,
                "pad_token_id": words.end_of_text,
                "do_sample": False,
            },
            "tokenizer_config.json": {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": ending,
                "pad_token": ending,
                "model_max_length": config.data.seq_len,
            },
        }
        for name, values in files.items():
            (temporary / name).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    return out


def llama_config(config: Config, end_of_text: int, dtype: Dtype = "float32") -> dict[str, Any]:
    """config.json of transformers' LlamaForCausalLM for our decoder; its RoPE and SwiGLU are ours."""
    model = config.model
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": model.vocab_size,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.intermediate_size,
        "num_hidden_layers": model.num_layers,
        "num_attention_heads": model.num_heads,
        "num_key_value_heads": model.num_kv_heads,
        "head_dim": model.head_dim,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "rms_norm_eps": model.norm_eps,
        "rope_theta": model.rope_theta,  # where transformers before 5 looks
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rope_theta},
        "max_position_embeddings": config.data.seq_len,
        "tie_word_embeddings": model.tie_embeddings,
        "bos_token_id": None,
        "eos_token_id": end_of_text,
        "dtype": dtype,
    }
