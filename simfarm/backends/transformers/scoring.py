"""How likely texts are to a causal model: sums of log probabilities, exact in float32, prefixes read once.

Rows are padded on the right and never masked: a causal model's prediction at a token does not see what follows it, so a
row's sum is the one it has alone, and no model needs to be told positions.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch

from simfarm.backends.local.deciding import Ballot, common
from simfarm.backends.transformers.checkpoint import Checkpoint

__all__ = ["log_likelihoods", "option_likelihoods"]

CELLS = 2**27
"""Logits (tokens × vocabulary) held at a time, half a gigabyte in float32: longer texts are read in pieces."""


def log_likelihoods(
    checkpoint: Checkpoint, pairs: Sequence[tuple[list[int], list[int]]], cells: int = CELLS
) -> list[float]:
    """log P(continuation | prompt) in nats for each pair of tokens; neither is empty.

    The tokens that all prompts' lengths have in common are read first, without looking at predictions: once where the
    prompts are one and the same, and its keys and values repeated for every continuation.
    """
    model, device = checkpoint.model, checkpoint.model.device
    head = min(len(prompt) for prompt, _ in pairs) - 1
    shared = all(prompt == pairs[0][0] for prompt, _ in pairs)
    cache: Any = None
    with torch.inference_mode():
        if head:
            first = [prompt[:head] for prompt, _ in (pairs[:1] if shared else pairs)]
            keep = {"logits_to_keep": 1} if model._supports_logits_to_keep() else {}
            cache = model(input_ids=torch.tensor(first, device=device), use_cache=True, **keep).past_key_values
            if shared and len(pairs) > 1:
                cache.batch_repeat_interleave(len(pairs))
        rest = [(prompt + continuation)[head:] for prompt, continuation in pairs]
        begins = [len(prompt) - head for prompt, _ in pairs]
        totals = torch.zeros(len(pairs), dtype=torch.float64)
        width = max(map(len, rest)) - 1
        step = max(1, cells // (len(pairs) * checkpoint.model.config.get_text_config().vocab_size))
        for start in range(0, width, step):
            end = min(start + step, width)
            fed = [row[start : min(end, len(row) - 1)] for row in rest]
            padded = torch.tensor([row + [checkpoint.pad] * (end - start - len(row)) for row in fed], device=device)
            out = model(input_ids=padded, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            for at, row in enumerate(rest):
                # the input at place i predicts the token at i + 1
                targets = range(max(begins[at], start + 1), min(len(row), end + 1))
                if targets:
                    logits = out.logits[at, targets.start - 1 - start : targets.stop - 1 - start].float()
                    wanted = torch.tensor(row[targets.start : targets.stop], device=device)
                    chosen = logits.gather(1, wanted[:, None]).squeeze(1)
                    totals[at] += (chosen - logits.logsumexp(-1)).double().sum().cpu()
    return [float(total) for total in totals]


def option_likelihoods(
    checkpoint: Checkpoint, ballots: Sequence[Ballot], size: int, cells: int = CELLS
) -> list[list[float]]:
    """log P(option | prompt) in nats for the options of each ballot, at most `size` rows at a time.

    Where options are single tokens, one reading of the prompts tells all of them, and what all prompts begin with is
    read once; other options are scored whole.
    """
    at_once = checkpoint.model._supports_logits_to_keep()
    single = [ballot for ballot in ballots if at_once and ballot.single]
    told = iter(_next_tokens(checkpoint, single, size, cells) if single else ())
    nats = []
    for ballot in ballots:
        if at_once and ballot.single:
            nats.append(next(told))
            continue
        pairs = [(ballot.prompt, option) for option in ballot.options]
        parts = [pairs[start : start + size] for start in range(0, len(pairs), size)]
        nats.append([total for part in parts for total in log_likelihoods(checkpoint, part, cells)])
    return nats


def _next_tokens(checkpoint: Checkpoint, ballots: Sequence[Ballot], size: int, cells: int) -> list[list[float]]:
    """The same for options of one token, from the predictions at the prompts' last tokens alone."""
    model, device = checkpoint.model, checkpoint.model.device
    prompts = [ballot.prompt for ballot in ballots]
    head = min(len(common(prompts)), min(map(len, prompts)) - 1) if len(prompts) > 1 else 0
    # the model gives each row's predictions at the last token of every row
    size = min(size, max(1, math.isqrt(cells // checkpoint.vocabulary)))
    nats = []
    with torch.inference_mode():
        read: Any = None
        if head:
            first = torch.tensor([prompts[0][:head]], device=device)
            read = model(input_ids=first, use_cache=True, logits_to_keep=1).past_key_values
        for start in range(0, len(ballots), size):
            part = ballots[start : start + size]
            cache = copy.deepcopy(read) if start + size < len(ballots) else read
            if cache is not None and len(part) > 1:
                cache.batch_repeat_interleave(len(part))
            rest = [ballot.prompt[head:] for ballot in part]
            width = max(map(len, rest))
            padded = torch.tensor([row + [checkpoint.pad] * (width - len(row)) for row in rest], device=device)
            ends = sorted({len(row) - 1 for row in rest})
            out = model(
                input_ids=padded,
                past_key_values=cache,
                use_cache=cache is not None,
                logits_to_keep=torch.tensor(ends, device=device),
            )
            for at, (row, ballot) in enumerate(zip(rest, part, strict=True)):
                told = out.logits[at, ends.index(len(row) - 1)].float().log_softmax(-1)
                wanted = torch.tensor([token for (token,) in ballot.options], device=device)
                nats.append([float(value) for value in told[wanted].cpu()])
    return nats
