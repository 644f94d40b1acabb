"""What tokens cost, from a maintained and dated table (`genai-prices`, bundled, no network).

An unknown model costs None, never 0: a run that cannot be priced must not look free. Service tiers (flex, priority,
batch) are not told apart: simfarm asks for none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from simfarm.data.decision import Decision
from simfarm.data.exchange import Metered

__all__ = ["Tariff", "at_most", "price", "price_table"]

CACHED_FROM = 1024
"""Input tokens from which OpenAI caches a prompt unasked; since gpt-5.6 writing costs 1.25 times the input
(https://developers.openai.com/api/docs/guides/prompt-caching, seen 2026-11-26)."""


def price(
    provider: str,
    model: str,
    input_tokens: int,
    output_tokens: int,
    base_url: str | None = None,
    *,
    cached: int = 0,
    written: int = 0,
    written_1h: int = 0,
    thinking: int = 0,
) -> float | None:
    """US dollars for one call at the list price of this hour, None where the table knows no such model.

    `provider` is the backend's prefix. With `base_url` the server decides, not the prefix: a model of the same name on
    one's own machine has no list price. Of the input tokens, `cached` were read from the provider's cache and `written`
    written to it, `written_1h` of these for an hour; of the output tokens, `thinking` were thought. Each share has the
    price that the model has for it, else that of its whole.
    """
    shares = (input_tokens, output_tokens, cached, written, written_1h, thinking)
    # some prices change with the hour of the day (DeepSeek's)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return _price(provider, model, base_url, shares, hour)


@dataclass(frozen=True, slots=True)
class Tariff:
    """What calls to one provider cost: `own` is the user's price, (input, output) US dollars a million tokens; where
    there is none, what the provider says that it charged, else its list price."""

    provider: str
    base_url: str | None
    own: tuple[float, float] | None = None

    def paid(self, answer: Metered) -> float | None:
        """US dollars that an answer cost, None where its model or its tokens are unknown."""
        tokens_in, tokens_out = answer.input_tokens, answer.output_tokens
        if isinstance(answer, Decision):
            # nobody charges for what a decision counts as output
            tokens_out = 0
        if self.own is None and answer.cost is not None:
            return answer.cost
        if tokens_in is None or tokens_out is None:
            return None
        if self.own is not None:
            return self._own(tokens_in, tokens_out)
        if answer.model is None:
            return None
        if isinstance(answer, Decision):
            # OpenAI charges neither for reading nor for writing its cache, and a discount is left out: never too low
            return price(self.provider, answer.model, tokens_in, 0, self.base_url)
        return price(
            self.provider,
            answer.model,
            tokens_in,
            tokens_out,
            self.base_url,
            cached=answer.cached_tokens or 0,
            written=answer.cache_written_tokens or 0,
            written_1h=answer.cache_written_1h_tokens or 0,
            thinking=answer.thinking_tokens or 0,
        )

    def most(self, model: str, tokens_in: int, tokens_out: int, *, kept: int = 0) -> float | None:
        """US dollars that a call costs at most: a long prompt may be written to the provider's cache unasked, which has
        its own price. Claude does so only where it is asked to: with what may be `kept` of the input tokens."""
        if self.own is not None:
            return self._own(tokens_in, tokens_out)
        written = 0 if tokens_in < CACHED_FROM else kept if "claude" in model.lower() else tokens_in
        return price(self.provider, model, tokens_in, tokens_out, self.base_url, written=min(written, tokens_in))

    def _own(self, tokens_in: int, tokens_out: int) -> float:
        assert self.own is not None
        return (tokens_in * self.own[0] + tokens_out * self.own[1]) / 1e6


@lru_cache(maxsize=65536)
def _price(provider: str, model: str, base_url: str | None, shares: tuple[int, ...], hour: datetime) -> float | None:
    from genai_prices import Usage, calc_price

    names = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "output_reasoning")
    usage = Usage(**{f"{name}_tokens": count for name, count in zip(names, shares, strict=True)})
    try:
        if base_url is not None:
            calculated = calc_price(usage, model, provider_api_url=base_url, genai_request_timestamp=hour)
        else:
            calculated = calc_price(usage, model, provider_id=provider, genai_request_timestamp=hour)
        return float(calculated.total_price)
    except LookupError:
        return None


def at_most(dollars: float) -> str:
    """An upper bound as it is shown: rounded up, to cents from a dollar on and a hundred times finer below."""
    places = 2 if dollars >= 1 else 4
    return f"${math.ceil(round(dollars * 10**places, 6)) / 10**places:.{places}f}"


def price_table() -> str:
    """Which table prices come from, for reports: the package and its version, which is its date."""
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"
