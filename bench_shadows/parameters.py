"""How many parameters a model has, from its configuration alone."""

from bench_shadows.config import Config


def count_parameters(config: Config) -> int:
    """Weights of the decoder (659 M for the paper's, of them 155.6 M in the embedding) and of what sees images."""
    model = config.model
    width, heads = model.hidden_size, model.num_heads * model.head_dim
    attention = 2 * width * heads + 2 * width * model.num_kv_heads * model.head_dim
    layer = attention + 3 * width * model.intermediate_size + 2 * width
    embeddings = (1 if model.tie_embeddings else 2) * model.vocab_size * width
    decoder = model.num_layers * layer + embeddings + width
    return decoder + (_count_vision(config) if config.vision.image_size else 0)


def _count_vision(config: Config) -> int:
    """Of the image encoder and its projector, biases included."""
    vision, width = config.vision, config.model.hidden_size
    size, inner = vision.hidden_size, vision.intermediate_size
    patches = (3 * vision.patch_size**2 + 1) * size + vision.image_tokens * size
    layer = 4 * (size + 1) * size + (size + 1) * inner + (inner + 1) * size + 4 * size
    return patches + vision.num_layers * layer + (size + 1) * width + (width + 1) * width
