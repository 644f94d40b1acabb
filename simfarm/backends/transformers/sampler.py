"""Choosing tokens row by row: each row of a batch has its own temperature, nucleus, penalty, seed, stops and limit.

transformers' `generate` samples a whole batch with one set of options from one generator, so that an answer would
depend on what it happened to be batched with. Here noise is a function of (seed, prompt, step, token) alone: to add
Gumbel noise to the logits and take the largest is exact sampling, and a row gets the same noise alone, in any batch, on
any device. A hash makes the noise, four times faster than `torch.Generator` on a CPU and free of state.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from simfarm.backends.local.framing import before
from simfarm.backends.local.worker import Job
from simfarm.backends.transformers.checkpoint import Checkpoint
from simfarm.data.exchange import TokenLogprob

__all__ = ["Draws", "Row", "Sampler", "gumbel", "nucleus"]

GOLDEN = 0x9E3779B1
MIXED = (-2048144789, 668265263, -1028477387)
"""Multipliers of murmur3's and xxHash's 32-bit mixers (as signed numbers), both in the public domain."""

HEAD = 1024
"""Most likely tokens among which a nucleus is looked for first: to sort a whole vocabulary takes 8 times as long."""


class Draws:
    """The random keys of one answer, one for each of its tokens, from a seed (fresh entropy where it is None) and the
    prompt: with the seed alone, the answers to all instructions of a run would share their noise, and every interval
    takes instructions for independent."""

    def __init__(self, seed: int | None, prompt: Sequence[int]) -> None:
        self._seed = secrets.token_hex(8) if seed is None else hashlib.blake2b(f"{seed}/{prompt}".encode()).hexdigest()
        self.start = len(prompt)

    def key(self, step: int) -> int:
        """A signed 32-bit number for the answer's token number `step`; never 0, which means no noise."""
        digest = hashlib.blake2b(f"{self._seed}/{step}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "little", signed=True) or 1


def gumbel(keys: torch.Tensor, size: int) -> torch.Tensor:
    """Standard Gumbel noise (rows, size), a row for each int32 key: −log E, E exponential, from 31 random bits each."""
    x = (torch.arange(size, dtype=torch.int64, device=keys.device) * GOLDEN).to(torch.int32) + keys[:, None]
    # a right shift of a signed number copies the sign: the masks make it a logical one
    x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF)).mul_(MIXED[0])
    # the key once more: without it two keys would give one sequence, shifted
    x.add_((keys * MIXED[1])[:, None])
    x.bitwise_xor_((x >> 13).bitwise_and_(0x7FFFF)).mul_(MIXED[2])
    x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF)).bitwise_and_(0x7FFFFFFF)
    u = x.to(torch.float32).mul_(2.0**-31).add_(2.0**-32).clamp_(max=1 - 2.0**-24)
    return u.neg_().log1p_().neg_().log_().neg_()


@dataclass(slots=True, eq=False)
class Row:
    """One answer as it grows. `limit` is in tokens; `logprobs` is how many of the most likely tokens to note, None for
    no log probabilities; `choices` are the answers that it must be one of, in tokens, none for any; `finish` is
    OpenAI's reason once it is over."""

    job: Job[Any]
    prompt: list[int]
    limit: int
    temperature: float
    top_p: float
    penalty: float
    draws: Draws
    stop: tuple[str, ...]
    logprobs: int | None
    choices: tuple[tuple[int, ...], ...] = ()
    tokens: list[int] = field(default_factory=list)
    noted: list[TokenLogprob] = field(default_factory=list)
    finish: str | None = None

    @property
    def over(self) -> bool:
        """Whether no further token is wanted: the answer is whole, or nobody waits for it."""
        return self.finish is not None or self.job.abandoned

    def add(self, token: int, checkpoint: Checkpoint) -> None:
        """Takes the next token, and notes in `finish` whether it was the last. The tail that can hold a stop string is
        decoded at each token: no token but a special one is shorter than a byte."""
        self.tokens.append(token)
        tail = max((len(text.encode()) for text in self.stop), default=0) + 4
        stopped = self.stop and any(map(checkpoint.decode(self.tokens[-tail:]).__contains__, self.stop))
        if token in checkpoint.ends or stopped or (self.choices and not self.allowed()):
            self.finish = "stop"
        elif len(self.tokens) >= self.limit:
            self.finish = "length"

    def allowed(self) -> list[int]:
        """The tokens that can come next in one of the choices; none where a choice is whole."""
        at = len(self.tokens)
        return sorted({choice[at] for choice in self.choices if len(choice) > at and list(choice[:at]) == self.tokens})

    def text(self, checkpoint: Checkpoint) -> str:
        """The answer, without special tokens, cut before the first stop string."""
        return before(checkpoint.decode(self.tokens), self.stop)

    def restart(self) -> None:
        """Forgets what was generated, to begin again in a smaller batch."""
        self.tokens, self.noted, self.finish = [], [], None


class Sampler:
    """A logits processor for `generate` that picks each row's token itself and leaves nothing else to choose.

    Log probabilities are of the model's own logits, before penalty, temperature and nucleus, as OpenAI and vLLM
    (`raw_logprobs`) give them. `done` is called with each row as it ends. The order penalty, temperature, nucleus is
    vLLM's too.
    """

    def __init__(self, rows: Sequence[Row], checkpoint: Checkpoint, done: Callable[[Row], None]) -> None:
        self._rows = rows
        self._checkpoint = checkpoint
        self._done = done
        self._penalised = [i for i, row in enumerate(rows) if row.penalty != 1]
        self._seen: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(rows, vocabulary) float32 logits of the next token; gives them back with the chosen tokens alone left."""
        raw = {i: scores[i].log_softmax(-1) for i, row in enumerate(self._rows) if row.logprobs is not None}
        if self._penalised:
            self._penalise(scores)
        for i, row in enumerate(self._rows):
            if row.choices and not row.over:
                kept = row.allowed()
                held = scores[i, kept]
                scores[i] = -torch.inf
                scores[i, kept] = held
        chosen = self._choose(scores)
        for i, (row, token) in enumerate(zip(self._rows, chosen.tolist(), strict=True)):
            if not row.over:
                if i in raw:
                    row.noted.append(self._note(raw[i], token, row.logprobs or 0))
                row.add(token, self._checkpoint)
                if row.finish is not None:
                    self._done(row)
        return scores.fill_(-torch.inf).scatter_(1, chosen[:, None], 0.0)

    def finished(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        """The stopping criterion that goes with it: which rows are over."""
        return torch.tensor([row.over for row in self._rows], device=input_ids.device)

    def _penalise(self, scores: torch.Tensor) -> None:
        """Divides positive and multiplies negative logits of tokens in prompt or answer (Keskar et al. 2019)."""
        if self._seen is None:
            # kept here, not read off input_ids: those hold padding, which no row has said
            self._seen = torch.zeros((len(self._penalised), scores.shape[1]), dtype=torch.bool, device=scores.device)
            for at, i in enumerate(self._penalised):
                self._seen[at, torch.tensor(self._rows[i].prompt, device=scores.device)] = True
        for at, i in enumerate(self._penalised):
            row = self._rows[i]
            self._seen[at, row.tokens[-1:]] = True
            lowered = torch.where(scores[i] > 0, scores[i] / row.penalty, scores[i] * row.penalty)
            scores[i] = torch.where(self._seen[at], lowered, scores[i])

    def _choose(self, scores: torch.Tensor) -> torch.Tensor:
        chosen = scores.argmax(-1)
        drawn = [i for i, row in enumerate(self._rows) if row.temperature > 0 and not row.over]
        if drawn:
            rows = [self._rows[i] for i in drawn]
            device = scores.device
            warm = scores[drawn] / torch.tensor([row.temperature for row in rows], device=device)[:, None]
            cut = [at for at, row in enumerate(rows) if row.top_p < 1]
            if cut:
                warm[cut] = nucleus(warm[cut], torch.tensor([rows[at].top_p for at in cut], device=device))
            keys = torch.tensor([row.draws.key(len(row.tokens)) for row in rows], dtype=torch.int32, device=device)
            chosen[drawn] = warm.add_(gumbel(keys, scores.shape[1])).argmax(-1)
        return chosen

    def _note(self, logprobs: torch.Tensor, token: int, count: int) -> TokenLogprob:
        best = logprobs.topk(min(count, len(logprobs)))
        top: dict[str, float] = {}
        for value, other in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            # two tokens may read the same (pieces of a character): the more likely one comes first
            top.setdefault(self._checkpoint.spell(other), value)
        return TokenLogprob(self._checkpoint.spell(token), float(logprobs[token]), top)


def nucleus(scores: torch.Tensor, top_p: torch.Tensor, head: int = HEAD) -> torch.Tensor:
    """Scores (rows, vocabulary) with −inf outside the smallest set of likely tokens that has mass `top_p` (rows)."""
    head = min(head, scores.shape[1])
    top = scores.topk(head).values
    mass = (top - scores.logsumexp(-1, keepdim=True)).exp()
    kept = mass.cumsum(-1) - mass < top_p[:, None]
    if head < scores.shape[1] and bool(kept[:, -1].any()):
        return nucleus(scores, top_p, scores.shape[1])
    kept[:, 0] = True
    least = top.masked_fill(~kept, torch.inf).amin(-1, keepdim=True)
    return scores.masked_fill(scores < least, -torch.inf)
