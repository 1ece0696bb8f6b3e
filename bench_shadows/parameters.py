"""How many parameters a model has, from its configuration alone."""

from bench_shadows.config import Config, ModelConfig


def count_parameters(config: Config) -> int:
    """Weights of the decoder (659 M for the paper's, of them 155.6 M in the embedding) and of what sees images."""
    model, width = config.model, config.model.hidden_size
    attention, feed_forward = layer_weights(model)
    layer = attention + 3 * feed_forward + 2 * width
    embeddings = (1 if model.tie_embeddings else 2) * model.vocab_size * width
    decoder = model.num_layers * layer + embeddings + width
    return decoder + (_count_vision(config) if config.vision.image_size else 0)


def layer_weights(model: ModelConfig) -> tuple[int, int]:
    """Of a layer of the decoder: attention's four matrices together, and each of the feed-forward part's three."""
    heads = 2 * (model.num_heads + model.num_kv_heads) * model.head_dim
    return model.hidden_size * heads, model.hidden_size * model.intermediate_size


def _count_vision(config: Config) -> int:
    """Of the image encoder and its projector, biases included."""
    vision, width = config.vision, config.model.hidden_size
    size, inner = vision.hidden_size, vision.intermediate_size
    patches = (3 * vision.patch_size**2 + 1) * size + vision.image_tokens * size
    layer = 4 * (size + 1) * size + (size + 1) * inner + (inner + 1) * size + 4 * size
    return patches + vision.num_layers * layer + (size + 1) * width + (width + 1) * width
