"""What providers' own pages say that an answer costs: its `usage`, and the sum by the page's prices.

Each bill names its source, looked up on 26 November 2026 (most as a search's excerpt of the page). `due` lists (tokens,
US dollars a million); the prices are written down here as the page has them. Counts of tokens are those of a page's
example or of a call that somebody published where the source is said to have one; the others are made up, and show a
page's rule. Not seen that day, and so as good as the price table: the prices of gpt-4.1 and gemini-2.5-flash.
`tests/test_prices.py` holds simfarm to the bills, `benchmarks/prices.py` prints both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["BILLS", "Bill"]

OPENAI = "https://developers.openai.com/api/docs/guides/prompt-caching"
CLAUDE = "https://platform.claude.com/docs/en/about-claude/pricing"
DEEPSEEK = "https://api-docs.deepseek.com/quick_start/pricing"
OPENROUTER = "https://openrouter.ai/docs/cookbook/administration/usage-accounting"
GEMINI_URL = "https://generativelanguage.googleapis.com/v1beta/openai/"


@dataclass(frozen=True)
class Bill:
    """One answer: who gave it, what it said of its tokens, and what is due. `stated` is a cost in US dollars that the
    answer itself names; `rival` is litellm's name for the model."""

    name: str
    source: str
    backend: str
    model: str
    usage: dict[str, Any]
    due: tuple[tuple[float, float], ...] = ()
    stated: float | None = None
    base_url: str | None = None
    rival: str = ""

    @property
    def dollars(self) -> float:
        return self.stated if self.stated is not None else sum(tokens * price for tokens, price in self.due) / 1e6


def openai(read: int, made: int, cached: int = 0, written: int = 0, thought: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": read,
        "completion_tokens": made,
        "total_tokens": read + made,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def claude(
    fresh: int, made: int, *, read: int = 0, for_5m: int = 0, for_1h: int = 0, thought: int = 0
) -> dict[str, Any]:
    return {
        "input_tokens": fresh,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": for_5m + for_1h,
        "cache_creation": {"ephemeral_5m_input_tokens": for_5m, "ephemeral_1h_input_tokens": for_1h},
        "output_tokens": made,
        "output_tokens_details": {"thinking_tokens": thought},
        "service_tier": "standard",
    }


BILLS = (
    Bill(
        "2,000 cached, 400 written, 200 neither",
        f"{OPENAI} (usage example; cached .1x, written 1.25x in place of the input price)",
        "openai",
        "gpt-6-luna",
        openai(2600, 300, cached=2000, written=400),
        ((200, 0.10), (2000, 0.01), (400, 0.125), (300, 0.50)),
    ),
    Bill(
        "1,920 of 2,006 cached",
        f"{OPENAI} (chat completions example), https://developers.openai.com/api/docs/pricing",
        "openai",
        "gpt-4.1-2025-04-14",
        openai(2006, 300, cached=1920),
        ((86, 2.0), (1920, 0.5), (300, 8.0)),
    ),
    Bill(
        "18,011 written unasked",
        "https://github.com/laravel/ai/pull/846 (a call's usage), the model's page for the prices",
        "openai",
        "gpt-5.6-luna",
        openai(18014, 20, written=18011),
        ((3, 0.20), (18011, 0.25), (20, 1.20)),
    ),
    Bill(
        "1,024 of 1,186 output tokens thought",
        "https://developers.openai.com/api/docs/models/gpt-6-luna; reasoning_tokens are a part of completion_tokens "
        "(openai 3.57, CompletionTokensDetails)",
        "openai",
        "gpt-6-luna",
        openai(75, 1186, thought=1024),
        ((75, 0.10), (1186, 0.50)),
    ),
    Bill(
        "beyond 272K input tokens",
        "https://developers.openai.com/api/docs/models/gpt-6-luna (input and caches 2x, output 1.5x, whole request)",
        "openai",
        "gpt-6-luna",
        openai(300_000, 1000, cached=200_000),
        ((100_000, 0.20), (200_000, 0.02), (1000, 0.75)),
    ),
    Bill(
        "100,000 read, 50 fresh",
        f"{CLAUDE} (read .1x); input_tokens leaves out what was read (anthropic 2.14, Usage)",
        "anthropic",
        "claude-opus-5",
        claude(50, 503, read=100_000),
        ((50, 5.0), (100_000, 0.50), (503, 25.0)),
    ),
    Bill(
        "written for 5 minutes and for an hour",
        f"{CLAUDE} (1.25x and 2x)",
        "anthropic",
        "claude-sonnet-5",
        claude(2048, 503, read=1800, for_5m=148, for_1h=100),
        ((2048, 2.0), (1800, 0.20), (148, 2.50), (100, 4.0), (503, 10.0)),
    ),
    Bill(
        "cache read at a twentieth",
        "https://platform.claude.com/docs/en/models/opus-5-5/overview",
        "anthropic",
        "claude-opus-5-5",
        claude(1000, 800, read=20_000, for_5m=5000, thought=700),
        ((1000, 4.0), (20_000, 0.20), (5000, 5.0), (800, 20.0)),
    ),
    Bill(
        "405 thinking tokens in the total alone",
        "https://github.com/mozilla-ai/any-llm/issues/1290 (a call's usage)",
        "openai",
        "gemini-2.5-flash",
        {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623},
        ((20, 0.30), (603, 2.50)),
        base_url=GEMINI_URL,
        rival="gemini/gemini-2.5-flash",
    ),
    Bill(
        "124 thinking tokens beside 50",
        "https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/grok/capabilities/reasoning, "
        "https://docs.x.ai/developers/rate-limits (reasoning at the completion price)",
        "openai",
        "grok-4.7",
        {
            "prompt_tokens": 200,
            "completion_tokens": 50,
            "total_tokens": 374,
            "prompt_tokens_details": {"cached_tokens": 100},
            "completion_tokens_details": {"reasoning_tokens": 124},
        },
        ((100, 2.0), (100, 0.50), (174, 6.0)),
        base_url="https://api.x.ai/v1",
        rival="xai/grok-4.7",
    ),
    Bill(
        "ticks stated by xAI",
        "https://docs.x.ai/developers/cost-tracking (37,756,000 ticks are $.0038)",
        "openai",
        "grok-4.7",
        {"prompt_tokens": 200, "completion_tokens": 50, "total_tokens": 250, "cost_in_usd_ticks": 37_756_000},
        stated=0.0037756,
        base_url="https://api.x.ai/v1",
    ),
    Bill(
        "cache hit and miss, off-peak",
        f"{DEEPSEEK} (hit .003, miss .15, output .60 off-peak; prompt_tokens is hit + miss)",
        "openai",
        "deepseek-flash",
        {
            "prompt_tokens": 3000,
            "completion_tokens": 500,
            "total_tokens": 3500,
            "prompt_cache_hit_tokens": 2560,
            "prompt_cache_miss_tokens": 440,
            "completion_tokens_details": {"reasoning_tokens": 450},
        },
        ((440, 0.15), (2560, 0.003), (500, 0.60)),
        base_url="https://api.deepseek.com",
        rival="deepseek/deepseek-flash",
    ),
    Bill(
        "cost stated by OpenRouter",
        f"{OPENROUTER} (cost: charged to the account)",
        "openai",
        "google/gemini-2.5-flash",
        {
            **openai(2, 362, thought=356),
            "cost": 0.0009056,
            "is_byok": False,
            "cost_details": {"upstream_inference_cost": 0.0009056},
        },
        stated=0.0009056,
        base_url="https://openrouter.ai/api/v1",
    ),
    Bill(
        "OpenRouter with the user's own key",
        f"{OPENROUTER}, https://github.com/tailcallhq/forgecode/issues/1641 (a call's usage)",
        "openai",
        "anthropic/claude-sonnet-4.5",
        {
            **openai(9171, 113, thought=55),
            "cost": 0,
            "is_byok": True,
            "cost_details": {"upstream_inference_cost": 0.0360795},
        },
        stated=0.0360795,
        base_url="https://openrouter.ai/api/v1",
    ),
)
