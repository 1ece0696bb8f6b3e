"""Twelve kinds of tokenizer files, as released models have them, built small with the `tokenizers` library."""

import functools
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import ByteLevel as TrimOffsets
from tokenizers.processors import Sequence as ProcessorSequence
from tokenizers.processors import TemplateProcessing

TEXTS = [
    "The shadow of a benchmark falls where its data was narrow, and what it shows is not what it knows.",
    "def falls(where):\n    if where:\n        return [narrow for narrow in where if narrow > 1]\n",
    "Der Schatten fällt dorthin, wo die Daten eng waren; größer wird er abends.",
    "Тень падает туда, где данные были узкими, и растёт к вечеру.",
    "今天天气很好，我们去公园玩。公园里有很多人。",
    "0 11 22 33 44 55 66 77 88 99: 1 2 3 4 5 6 7 8 9",
    "影は、データの狭いところに落ちる。カタカナもある。",
]
"""What the tokenizers are trained on."""
UNSEEN = "เงาตกลงบนที่ซึ่งข้อมูลแคบ 🙂"
"""Characters that none of them has a token of its own for."""
_PIECES = 600
_SPLIT = Regex(r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


class Layout(NamedTuple):
    """A kind of tokenizer file, and what is right of it."""

    make: Callable[[], Tokenizer]
    end_of_text: str
    before: tuple[str, ...] = ()
    lossless: bool = True
    """Whether every text comes back as it was."""


def _parts(backend: Tokenizer) -> dict[str, Any]:
    return json.loads(backend.to_str())["model"]


def _template(backend: Tokenizer, *before: str, behind: str = "") -> TemplateProcessing:
    names = [*before, *([behind] if behind else [])]
    single = [*before, "$A", *([behind] if behind else [])]
    ids = [(name, backend.token_to_id(name)) for name in names]
    return TemplateProcessing(single=single, pair=[*single, "$B"], special_tokens=ids)


def _byte_level(*special: str, split: bool = False, normalizer: Any = None, **model: Any) -> Tokenizer:
    backend = Tokenizer(models.BPE(**model))
    own = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not split)
    backend.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.Split(_SPLIT, "isolated"), own]) if split else own
    )
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = TrimOffsets(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=_PIECES, special_tokens=list(special), initial_alphabet=sorted(own.alphabet())
    )
    backend.train_from_iterator(TEXTS, trainer)
    return backend


def _sentencepiece_bpe(*special: str) -> Tokenizer:
    """Pieces with `▁` for a space, and a token for each byte that they do not cover."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trained.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=_PIECES))
    model = _parts(trained)
    names = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *model["vocab"]]
    vocabulary = {name: index for index, name in enumerate(dict.fromkeys(names))}
    merges = [tuple(merge) for merge in model["merges"]]
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.add_special_tokens(list(special))
    return backend


def _unigram(*special: str, byte_fallback: bool, normalizer: Any = None) -> Tokenizer:
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    if normalizer is not None:
        trained.normalizer = normalizer
    trained.train_from_iterator(
        TEXTS, trainers.UnigramTrainer(vocab_size=400, special_tokens=list(special), unk_token="<unk>")
    )
    vocabulary = [(piece, score) for piece, score in _parts(trained)["vocab"]]
    if byte_fallback:
        vocabulary += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    backend = Tokenizer(models.Unigram(vocabulary, special.index("<unk>"), byte_fallback))
    backend.normalizer, backend.pre_tokenizer = trained.normalizer, trained.pre_tokenizer
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    backend.add_special_tokens(list(special))
    return backend


def gpt2() -> Tokenizer:
    return _byte_level("<|endoftext|>")


def neox() -> Tokenizer:
    backend = _byte_level("<|endoftext|>", "<|padding|>", normalizer=normalizers.NFC())
    backend.add_tokens([AddedToken(" " * count, normalized=True) for count in range(24, 1, -1)])
    return backend


def llama2() -> Tokenizer:
    backend = _sentencepiece_bpe("<unk>", "<s>", "</s>")
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps)
    backend.post_processor = _template(backend, "<s>")
    return backend


def llama3() -> Tokenizer:
    backend = _byte_level("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", split=True, ignore_merges=True)
    template = _template(backend, "<|begin_of_text|>")
    backend.post_processor = ProcessorSequence([TrimOffsets(trim_offsets=True), template])
    return backend


def mistral() -> Tokenizer:
    backend = _sentencepiece_bpe("<unk>", "<s>", "</s>")
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps)
    backend.post_processor = _template(backend, "<s>")
    return backend


def qwen() -> Tokenizer:
    return _byte_level("<|endoftext|>", "<|im_start|>", "<|im_end|>", split=True, normalizer=normalizers.NFC())


def deepseek() -> Tokenizer:
    names = "<\uff5cbegin▁of▁sentence\uff5c>", "<\uff5cend▁of▁sentence\uff5c>"
    backend = _byte_level(*names, split=True)
    backend.post_processor = _template(backend, names[0])
    return backend


def gemma() -> Tokenizer:
    backend = _sentencepiece_bpe("<pad>", "<eos>", "<bos>", "<unk>")
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence(steps)
    backend.add_tokens([AddedToken(sign * count, normalized=False) for sign in "\n▁" for count in (4, 3, 2)])
    backend.post_processor = _template(backend, "<bos>")
    return backend


def wordpiece() -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=500, special_tokens=special))
    backend.decoder = decoders.WordPiece()
    backend.post_processor = _template(backend, "[CLS]", behind="[SEP]")
    return backend


def unigram_fallback() -> Tokenizer:
    backend = _unigram("<unk>", "</s>", byte_fallback=True)
    backend.post_processor = _template(backend, behind="</s>")
    return backend


def unigram() -> Tokenizer:
    steps = [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    return _unigram("<unk>", "</s>", byte_fallback=False, normalizer=normalizers.Sequence(steps))


def added_text() -> Tokenizer:
    backend = _byte_level("[EOS]")
    backend.add_tokens([AddedToken(" " * count, normalized=True) for count in (8, 4)])
    backend.add_tokens([AddedToken(text, normalized=False) for text in ("größer", "公园")])
    return backend


_BARS = "<\uff5cbegin▁of▁sentence\uff5c>", "<\uff5cend▁of▁sentence\uff5c>"
LAYOUTS = {
    "gpt2": Layout(gpt2, "<|endoftext|>"),
    "neox": Layout(neox, "<|endoftext|>"),
    "llama2": Layout(llama2, "</s>", ("<s>",)),
    "llama3": Layout(llama3, "<|end_of_text|>", ("<|begin_of_text|>",)),
    "mistral": Layout(mistral, "</s>", ("<s>",)),
    "qwen": Layout(qwen, "<|endoftext|>"),
    "deepseek": Layout(deepseek, _BARS[1], (_BARS[0],)),
    "gemma": Layout(gemma, "<eos>", ("<bos>",)),
    "wordpiece": Layout(wordpiece, "[SEP]", ("[CLS]",), lossless=False),
    "unigram_fallback": Layout(unigram_fallback, "</s>"),
    "unigram": Layout(unigram, "</s>", lossless=False),
    "added_text": Layout(added_text, "[EOS]"),
}


@functools.cache
def file_of(name: str) -> str:
    """The tokenizer.json of a layout."""
    return LAYOUTS[name].make().to_str()
