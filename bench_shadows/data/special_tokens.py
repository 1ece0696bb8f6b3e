"""The special tokens of every tokenizer here: where a text ends, and who speaks in a sample."""

END = "<|endoftext|>"


IMAGE = "<|image|>"


USER = "<|user|>"


ASSISTANT = "<|assistant|>"


SPECIAL_TOKENS = (END, IMAGE, USER, ASSISTANT)
"""The first token ids of the tokenizer, in this order."""


END_ID, IMAGE_ID, USER_ID, ASSISTANT_ID = range(len(SPECIAL_TOKENS))
