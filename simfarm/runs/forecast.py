"""What a run would ask and cost at most, in words, before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence

from simfarm.data.exchange import Request
from simfarm.engine.prices import at_most, price_table
from simfarm.engine.runner import Engine
from simfarm.text.words import plural

__all__ = ["forecast"]


def forecast(engine: Engine, requests: Sequence[Request], known: int) -> str:
    """What new `requests` would use and cost at most on an engine, beside `known` answers in the store, and what the
    table of retirements knows of their model's end."""
    backend = engine.backend
    uses = [engine.estimate(request) for request in requests]
    tokens_in, tokens_out = sum(u[0] for u in uses), sum(u[1] for u in uses)
    price = None if any(u[2] is None for u in uses) else sum(u[2] or 0.0 for u in uses)
    if backend.in_process:
        priced = "no price, it runs in this process"
    elif price is None:
        priced = f"price unknown ({price_table()} has none for it at this address; give --price IN,OUT)"
    else:
        priced = f"price at most {at_most(price)} ({price_table()})"
    models = list(dict.fromkeys(request.model for request in requests))
    target = ", ".join(f"{backend.name}/{model}" for model in models) or backend.name
    told = [end for model in models if (end := engine.lifetime.foretold(model))]
    limits = [(backend.most_tokens(r), r.sampling.get("max_tokens")) for r in requests]
    room = max((most - own for most, own in limits if most is not None and own is not None), default=0)
    return "".join(f"warning: {end}\n" for end in told) + (
        f"{plural(known, 'answer is', 'answers are')} in the store; {plural(len(requests), 'request')} would go to "
        f"{target}\n{priced}; at most about {tokens_in:,} input and {tokens_out:,} output tokens"
        + (f" ({room:,} of each answer to think in)" if room else "")
    )
