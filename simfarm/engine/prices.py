"""What tokens cost, from a maintained and dated table (`genai-prices`, bundled, no network).

An unknown model costs None, never 0: a run that cannot be priced must not look free.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["price", "price_table"]

OWN_IDS = {"openai": "openai", "anthropic": "anthropic", "litellm": "litellm"}


@lru_cache(maxsize=65536)
def price(
    provider: str, model: str, input_tokens: int, output_tokens: int, base_url: str | None = None
) -> float | None:
    """US dollars for one call at today's list price, None where the table knows no such model.

    `provider` is the backend's prefix. With `base_url` the server decides, not the prefix: a model of the same name on
    one's own machine has no list price. Discounts (cached input, batches) are not applied, so this is an upper bound.
    """
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    try:
        if base_url is not None:
            return float(calc_price(usage, model, provider_api_url=base_url).total_price)
        return float(calc_price(usage, model, provider_id=OWN_IDS.get(provider, provider)).total_price)
    except LookupError:
        return None


def price_table() -> str:
    """Which table prices come from, for reports: the package and its version, which is its date."""
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"
