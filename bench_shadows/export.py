"""A checkpoint as a Hugging Face folder: safetensors, tokenizer and configs.

A decoder has Llama's names and layout, one with an image encoder LLaVA's. transformers, vLLM,
lm-evaluation-harness and WeightWatcher load it as it is; so does `bench-shadows audit`.
"""

import json
from pathlib import Path
from typing import Any, Literal

from safetensors.numpy import save_file

from bench_shadows.config import Config
from bench_shadows.data.special_tokens import IMAGE, IMAGE_ID
from bench_shadows.errors import RunError
from bench_shadows.files import atomic_path
from bench_shadows.model.huggingface import to_hugging_face
from bench_shadows.model.llava import to_llava
from bench_shadows.model.vision import PIXEL_MEAN, PIXEL_STD
from bench_shadows.training.checkpoints.saved import find

Dtype = Literal["float32", "bfloat16"]


def export(checkpoint: Path, out: Path, dtype: Dtype = "float32") -> Path:
    """Writes a new folder `out` from RUN/runs/A-seed0 (its last step) or RUN/runs/A-seed0/checkpoints/180.

    model.safetensors, config.json, generation_config.json, tokenizer.json and tokenizer_config.json; of a study of
    prompts also chat_template.jinja, and with images preprocessor_config.json and processor_config.json. In
    bfloat16 the file is half as large, weights are rounded to 8 bits, and alpha moves by up to 0.03.

    Raises RunError for what is no checkpoint of a study, a damaged one, and a folder that is there already.
    """
    saved = find(checkpoint)
    if out.exists():
        raise RunError(f"{out} is there already; name another folder with --out")
    config, tokenizer = saved.config, saved.tokenizer()
    sees, params = config.vision.image_size > 0, saved.params()
    tensors = to_llava(params, config.vision) if sees else to_hugging_face(params)
    tensors = {name: array.astype(dtype, copy=False) for name, array in tensors.items()}
    with atomic_path(out) as temporary:
        temporary.mkdir(parents=True)
        save_file(tensors, temporary / "model.safetensors", {"format": "pt"})
        tokenizer.save(temporary / "tokenizer.json")
        ending, start = tokenizer.end_of_text_name, tokenizer.start if tokenizer.before else None
        files = {
            "config.json": (llava_config if sees else llama_config)(config, tokenizer.end_of_text, dtype, start),
            "generation_config.json": {
                "eos_token_id": tokenizer.end_of_text,
                "pad_token_id": tokenizer.end_of_text,
                "do_sample": False,
            },
            "tokenizer_config.json": {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": ending,
                "pad_token": ending,
                **({"bos_token": tokenizer.start_name} if tokenizer.before else {}),
                "model_max_length": config.data.seq_len,
            },
            **(_processors(config) if sees else {}),
        }
        for name, values in files.items():
            (temporary / name).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        if template := config.kind.chat_template():
            (temporary / "chat_template.jinja").write_text(template.strip() + "\n", encoding="utf-8")
    return out


def llama_config(
    config: Config, end_of_text: int, dtype: Dtype = "float32", start: int | None = None
) -> dict[str, Any]:
    """config.json of transformers' LlamaForCausalLM for our decoder; its RoPE and SwiGLU are ours.

    `start` is the id that the tokenizer puts before a text; None: it puts none.
    """
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
        "bos_token_id": start,
        "eos_token_id": end_of_text,
        "dtype": dtype,
    }


def llava_config(
    config: Config, end_of_text: int, dtype: Dtype = "float32", start: int | None = None
) -> dict[str, Any]:
    """config.json of transformers' LlavaForConditionalGeneration with a SigLIP tower for our network."""
    vision, text = config.vision, llama_config(config, end_of_text, dtype, start)
    return {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "text_config": text,
        "vision_config": {
            "model_type": "siglip_vision_model",
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "num_channels": 3,
            "hidden_size": vision.hidden_size,
            "intermediate_size": vision.intermediate_size,
            "num_hidden_layers": vision.num_layers,
            "num_attention_heads": vision.num_heads,
            "hidden_act": "gelu_pytorch_tanh",
            "layer_norm_eps": vision.norm_eps,
            "vision_use_head": False,
        },
        "vision_feature_layer": -1,  # before SigLIP's last norm
        "vision_feature_select_strategy": "full",  # no class token to leave out
        "projector_hidden_act": "gelu",
        "multimodal_projector_bias": True,
        "image_token_index": IMAGE_ID,
        "image_seq_length": vision.image_tokens,
        "tie_word_embeddings": text["tie_word_embeddings"],
        "eos_token_id": end_of_text,
        "dtype": dtype,
    }


def _processors(config: Config) -> dict[str, Any]:
    """Configs of transformers' LlavaProcessor: images made square with grey, 0 to 255 as -1 to 1, their places."""
    size = {"height": config.vision.image_size, "width": config.vision.image_size}
    return {
        "preprocessor_config.json": {
            "image_processor_type": "LlavaImageProcessor",
            "do_convert_rgb": True,
            "do_pad": True,
            "do_resize": True,
            "size": size,
            "resample": 3,  # bicubic
            "do_center_crop": False,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": [PIXEL_MEAN] * 3,
            "image_std": [PIXEL_STD] * 3,
        },
        "processor_config.json": {
            "processor_class": "LlavaProcessor",
            "image_token": IMAGE,
            "patch_size": config.vision.patch_size,
            "num_additional_image_tokens": 0,
            "vision_feature_select_strategy": "full",
        },
    }
