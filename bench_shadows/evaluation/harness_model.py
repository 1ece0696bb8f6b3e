"""A checkpoint of ours as lm-evaluation-harness sees a model. Imports `lm_eval`: the extra `harness`.

Texts are cut into tokens, windows and batches as its own class for transformers does, so that a model has the same
scores through both. A special token's name inside a text is ordinary characters here, and the token there.

Letters: B rows at once, T positions, D hidden_size, V vocabulary.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from bench_shadows.config import Config
from bench_shadows.data.rows.tokenizer import Tokenizer
from bench_shadows.errors import RunError
from bench_shadows.files import hash_json
from bench_shadows.json_lines import JsonLines, read_pairs
from bench_shadows.model.decoder import with_parameters
from bench_shadows.model.generation import GREEDY, Sampling, build_generate, plan_batches
from bench_shadows.model.network import build_network
from bench_shadows.progress import Progress, say

DEFAULT_NEW_TOKENS = 256
"""Where a task does not say how many: lm-eval's number."""
KEPT_AT_ONCE = 256
"""Answers that are generated before they are kept."""
_KNOWN = {"until", "max_gen_toks", "do_sample", "temperature", "top_p", "num_beams"}

Scores = Callable[[Mapping[str, Any], np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Checkpoint(TemplateLM):
    """Weights, architecture and tokenizer behind lm-eval's interface.

    Args:
      params: the weights, float32.
      journal: a file that keeps what was answered, so that a killed evaluation goes on; None: nothing is kept.
    """

    def __init__(
        self, params: Mapping[str, Any], config: Config, tokenizer: Tokenizer, journal: Path | None = None
    ):
        super().__init__()
        self._params, self._config, self._tokenizer = jax.device_put(dict(params)), config, tokenizer
        self._scores = _build_scores(config)
        self._generate = build_generate(config.model, config.vision)
        self._journal = journal
        self._answers = read_pairs(journal) if journal else {}
        self.max_length = config.data.seq_len

    @property
    def eot_token_id(self) -> int:
        """Ends a text."""
        return self._tokenizer.end_of_text

    @property
    def prefix_token_id(self) -> int:
        """Stands before a text that has no context: what a document begins with, or behind."""
        return self._tokenizer.start

    @property
    def tokenizer_name(self) -> str:
        """For lm-eval's cache of requests: there is no chat template."""
        return "bench_shadows"

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Token ids of a text, behind what the tokenizer's file puts there, unless told not to."""
        own = self._tokenizer.encode_batch([string])[0].tolist()
        return own if add_special_tokens is False else [*self._tokenizer.before, *own]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation in nats, and whether greedy decoding says it."""
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = True) -> list[float]:
        """Log-likelihood of whole texts in nats: windows of the row's length, every token predicted once."""
        windows, of_text = [], []
        for index, request in enumerate(requests):
            rolling = get_rolling_token_windows(
                self.tok_encode(request.args[0]), self.prefix_token_id, self.max_length, context_len=1
            )
            for context, continuation in map(make_disjoint_window, rolling):
                windows.append((("", ""), context, continuation))
                of_text.append(index)
        nats = [nats for nats, _ in self._loglikelihood_tokens(windows)]
        return np.bincount(of_text, nats, len(requests)).tolist() if windows else [0.0] * len(requests)

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        keys = [hash_json(["loglikelihood", context, continuation]) for _, context, continuation in requests]
        new = {key: index for index, key in enumerate(keys) if key not in self._answers}
        waiting = [requests[index][1:] for index in new.values()]
        for _, continuation in waiting:
            if len(continuation) > self.max_length:
                raise RunError(
                    f"a continuation of {len(continuation)} tokens does not fit the model's {self.max_length}: "
                    f"{self._tokenizer.decode(continuation)[:80]!r}; leave that task out"
                )
        texts = [(context + continuation)[-(self.max_length + 1) :] for context, continuation in waiting]
        plan = plan_batches(
            [len(text) - 1 for text in texts], 0, self._config.model.num_heads, longest=self.max_length
        )
        names = list(new)
        with Progress("harness: likelihood", len(requests), "requests", len(requests) - len(texts)) as progress:
            for indices, columns, rows in plan:
                tokens_BxT = np.zeros((rows, columns + 1), np.int32)
                for row, index in enumerate(indices):
                    tokens_BxT[row, : len(texts[index])] = texts[index]
                nats_BxT, likeliest_BxT = self._scores(self._params, tokens_BxT[:, :-1], tokens_BxT[:, 1:])
                answers = {}
                for row, index in enumerate(indices):
                    last = len(texts[index]) - 1
                    own = slice(last - len(waiting[index][1]), last)
                    score = float(nats_BxT[row, own].astype(np.float64).sum())
                    answers[names[index]] = score, bool(likeliest_BxT[row, own].all())
                self._keep(answers)
                progress.add(len(indices))
        return [(nats, greedy) for nats, greedy in (self._answers[key] for key in keys)]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """What the model says after each context, up to the first of the task's stop strings."""
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(index)
        texts = [""] * len(requests)
        with Progress("harness: generation", len(requests), "requests") as progress:
            for wanted, indices in groups.items():
                said = self._continue([requests[i].args[0] for i in indices], json.loads(wanted), progress)
                for index, text in zip(indices, said, strict=True):
                    texts[index] = text
        return texts

    def _continue(self, contexts: Sequence[str], wanted: dict[str, Any], progress: Progress) -> list[str]:
        """The texts behind contexts that are continued in the same way."""
        until, max_new, sampling = self._manner(wanted)
        encoded = ([*self._tokenizer.before, *ids.tolist()] for ids in self._tokenizer.encode_batch(contexts))
        own = [ids[max_new - self.max_length :] for ids in encoded]
        prompts = [ids or [self.prefix_token_id] for ids in own]
        keys = [hash_json(["generation", prompt, until, max_new]) for prompt in prompts]
        # What is drawn at random is drawn anew: equal requests want different answers.
        known = {} if sampling.temperature else self._answers
        waiting = [index for index, key in enumerate(keys) if key not in known]
        waiting.sort(key=lambda index: -len(prompts[index]))
        progress.add(len(prompts) - len(waiting))
        drawn: dict[int, str] = {}
        for start in range(0, len(waiting), KEPT_AT_ONCE):
            chosen = waiting[start : start + KEPT_AT_ONCE]
            said = self._generate(
                self._params,
                [np.array(prompts[index]) for index in chosen],
                max_new,
                self.eot_token_id,
                sampling._replace(seed=start),
                lambda tokens: any(word in self._tokenizer.decode(tokens) for word in until),
            )
            texts = [postprocess_generated_text(self._tokenizer.decode(tokens), until, None) for tokens in said]
            drawn |= dict(zip(chosen, texts, strict=True))
            if not sampling.temperature:
                self._keep({keys[index]: drawn[index] for index in chosen})
            progress.add(len(chosen))
        return [drawn[index] if index in drawn else known[key] for index, key in enumerate(keys)]

    def _keep(self, answers: Mapping[str, Any]) -> None:
        """Answers by what was asked, known from now on, and to the next process."""
        self._answers |= answers
        if self._journal is not None:
            with JsonLines(self._journal) as file:
                file.append(*answers.items(), allow_nan=True)

    def _manner(self, wanted: dict[str, Any]) -> tuple[list[str], int, Sampling]:
        """Stop strings, most new tokens and sampling of a task's generation arguments."""
        rule: dict[str, Any] = dict(normalize_gen_kwargs(wanted, DEFAULT_NEW_TOKENS))
        other = {name: value for name, value in rule.items() if name not in _KNOWN}
        if rule.pop("num_beams", 1) != 1 or other:
            raise RunError(
                f"a task asks to generate with {wanted}; there are {', '.join(sorted(_KNOWN))}, one beam"
            )
        until = [word for word in handle_stop_sequences(rule["until"], self._tokenizer.end_of_text_name) if word]
        max_new = rule["max_gen_toks"]
        if max_new >= self.max_length:
            say(
                f"harness: {max_new} new tokens do not fit the model's rows of {self.max_length}; "
                f"{self.max_length // 2} are generated at most"
            )
            max_new = self.max_length // 2
        if not rule["do_sample"]:
            return until, max_new, GREEDY
        return until, max_new, Sampling(float(wanted.get("temperature", 1.0)), float(rule.get("top_p", 1.0)))


def _build_scores(config: Config) -> Scores:
    """A function (parameters, token ids [B, T], the token behind each [B, T]) -> what the model says of those.

    That is their log-probabilities, float32 [B, T], and whether each is the likeliest one, bool [B, T]. Logits of
    `config.train.loss_chunk` tokens exist at once.
    """
    model, loss_chunk = nnx.eval_shape(lambda: build_network(config, rngs=nnx.Rngs(0))), config.train.loss_chunk

    @jax.jit
    def scores(
        params: Mapping[str, Any], tokens_BxT: jax.Array, targets_BxT: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        decoder = with_parameters(model, dict(params))
        head_DxV, hidden_BxTxD = decoder.head(), decoder(tokens_BxT)

        def of_one(inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            hidden_D, target = inputs
            logits_V = jnp.matmul(hidden_D, head_DxV, preferred_element_type=jnp.float32)
            return logits_V[target] - jax.nn.logsumexp(logits_V), jnp.argmax(logits_V) == target

        flat = hidden_BxTxD.reshape(-1, hidden_BxTxD.shape[-1]), targets_BxT.reshape(-1)
        nats, likeliest = jax.lax.map(of_one, flat, batch_size=min(loss_chunk, len(flat[1])))
        return nats.reshape(targets_BxT.shape), likeliest.reshape(targets_BxT.shape)

    return lambda params, tokens, targets: jax.tree.map(np.asarray, scores(params, tokens, targets))
