"""What the words of a provider's refusal mean: for all calls of a run, or for the one row that it refused.

Statuses do not tell: 429 is asked-too-fast, an empty account and a prompt that never fits; 403 is a key and one flagged
prompt; an unknown model is 400, 403, 404, 410, 422 and 503. The codes and words are those of the providers' own pages
and of the bodies that users posted, up to November 2026. A word stands here only where it cannot be said of one row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Stop", "of_the_row", "overloaded", "stop_for", "stop_for_decisions"]


@dataclass(frozen=True, slots=True)
class Stop:
    """A reason why every further call would fail as this one did: what is the case and what helps, with {model} and
    {key} for the model's and the key variable's names, {other} for the other shape of decisions. It is known by its
    `status` alone, or by a code (one of `codes`, a blank between) or words anywhere in what a status of 400 to 499
    says."""

    what: str
    remedy: str
    status: int = 0
    codes: str = ""
    words: tuple[str, ...] = ()


NO_CREDIT = Stop(
    "has no credit left for this account",
    "top it up or raise its limit, then run again",
    status=402,
    codes="insufficient_quota credit_balance_exhausted organization_spend_limit_exceeded project_spend_limit_exceeded "
    "organization_usage_limit_exceeded billing_not_active billing_hard_limit_reached billing_error payment_required "
    "enforced_spend_limit_reached insufficient_balance insufficient_user_quota exceeded_current_quota_error "
    "arrearage prepaidbilloverdue postpaidbilloverdue commoditynotpurchased allocationquota.freetieronly "
    "blocked_api_access budget_exceeded",
    words=(
        "credit balance",
        "api usage limits",
        "insufficient balance",
        "insufficient credits",
        "have any credits",
        "monthly spending limit",
        "monthly spending cap",
        "prepayment credits",
        "account is not active",
        "account is in good standing",
        "free allocated quota exceeded",
        "budget has been exceeded",
        "docs/guides/error-codes/api-errors",
    ),
)
NO_QUOTA = Stop(
    "grants this account no calls of '{model}'",
    "take another model with --model, or another plan",
    words=("limit: 0, model:",),
)
DAY_USED_UP = Stop(
    "grants no more calls today",
    "run the same command again when its quota is renewed, nothing answered is asked twice",
    words=("free-models-per-day", "requestsperday", "tokensperday"),
)
ADDRESS = Stop(
    "refuses calls from this machine's address",
    "allow it in the account of {key}, or run where it is allowed",
    codes="ip_not_authorized",
    words=("ip is not authorized", "ip address", "virtual network", "public network access is disabled"),
)
REGION = Stop(
    "does not serve the country or region of this machine",
    "run from one that it serves, or take another provider",
    codes="unsupported_country_region_territory",
    words=("location is not supported", "region, or territory not supported", "not available in your region"),
)
UNVERIFIED = Stop(
    "gives '{model}' to verified organizations alone",
    "verify yours there, or take another model with --model",
    words=("organization must be verified",),
)
NO_ACCESS = Stop(
    "gives this key no access to '{model}'",
    "allow the model for its project there, or take another with --model",
    codes="key_model_access_denied team_model_access_denied model.accessdenied accessdenied.unpurchased",
    words=("does not have access to model", "not allowed to access model", "access to model denied"),
)
BAD_KEY = Stop(
    "rejected the key",
    "check {key} and what it may use",
    status=401,
    # the last is litellm's proxy without a database, of any key but its master key
    codes="invalid_api_key invalidapikey api_key_invalid no_db_connection",
    words=("api key not valid", "api key not found", "api key expired", "incorrect api key", "reported as leaked"),
)
PROXYS_KEY = Stop(
    "was refused by the provider behind it",
    "check the key that the proxy has for that provider",
    words=("litellm.authenticationerror",),
)
OTHER_INTERFACE = Stop(
    "does not serve '{model}' over chat completions",
    "take another model with --model",
    codes="operationnotsupported",
    words=(
        "only supported in v1/responses",
        "not a chat model",
        "not supported in the v1/chat/completions",
        "does not work with the specified model",
        "only available through the batch api",
    ),
)
RETIRED = Stop(
    "no longer serves '{model}'",
    "take the model that replaces it with --model",
    status=410,
    codes="model_decommissioned model_deprecated modeldeprecated",
    words=("decommissioned", "end of life", "no longer available"),
)
UNKNOWN = Stop(
    "has no model '{model}'",
    "check its name with --model",
    codes="model_not_found modelnotfound invalid_model unknown_model model_not_available model_not_supported "
    "deploymentnotfound",
    words=(
        "model not exist",
        "model not found",
        "not a valid model id",
        "no endpoints found",
        "does not exist or you do not have access",
        "invalid model",
        "unknown model",
        "unable to access model",
        "no such model",
        "has no provider supported",
        "server is pinned to",
    ),
)
STOPS = (
    NO_CREDIT,
    NO_QUOTA,
    DAY_USED_UP,
    ADDRESS,
    REGION,
    UNVERIFIED,
    NO_ACCESS,
    PROXYS_KEY,
    BAD_KEY,
    OTHER_INTERFACE,
    RETIRED,
    UNKNOWN,
)
"""In this order: who has no access to a model is told that it does not exist, and a key is rejected for an address."""

NO_DECISIONS = Stop(
    "gives no decisions for '{model}'",
    "take a model that decides with --model (openai/gpt-6-luna, systemone/NAME, one on this machine), or a judge that "
    "reads text (pairwise-reasoned)",
    status=501,
    words=(
        # Ollama; SGLang; Fireworks; LM Studio; litellm
        "does not support decision",
        "not a decision model",
        "does not serve decision",
        "model is not supported",
        "not support this api",
        "/v1/decisions requires",
        "/v1/systemone requires",
        "does not support chat templates that always",
        "unexpected endpoint",
        "decisions provider",
        "decisions is not supported",
        "not support decisions",
    ),
)
NO_DECISIONS_HERE = Stop(
    "has no address for decisions",
    "check --base-url (it often ends in /v1), or take {other}, a model on this machine or a judge that reads text "
    "(pairwise-reasoned)",
)
QUESTIONS = Stop(
    "does not take the judge's questions",
    "leave out options or criteria, or take another server, {other}, a model on this machine or a judge that reads "
    "text (pairwise-reasoned)",
)
NOT_THERE = Stop("has nothing at this address", "check --base-url (it often ends in /v1)")
NO_ENTRY = Stop("refused access", "check {key} and what it may use")

_QUESTIONS = re.compile(r"\b(?:questions?|choices|options?|levels?|criteria|instructions|labels?)\b")
_LENGTH = re.compile(r"\btokens?\b|context|too long|too large")

_RETIRED = re.compile(
    r"\bmodel\b(?:(?!\. ).){0,80}\b"
    r"(?:ha(?:s|ve) been (?:deprecated|removed|sunset)|(?:been|is|was) (?:retired|shut down))"
)
"""Of a model, in one sentence: not "`temperature` is deprecated for this model"."""

ROW_CODES = (
    "content_filter content_policy_violation content_policy moderation moderation_blocked invalid_prompt refusal "
    "responsibleaipolicyviolation data_inspection_failed datainspectionfailed context_length_exceeded "
    "exceed_context_size_error string_above_max_length string_too_long token_limit_exceeded "
    "max_tokens_exceeded"
)
ROW_WORDS = (
    "violates usage guidelines",
    "safety_check_type",
    "content exists risk",
    "may contain inappropriate content",
    "content management policy",
    "content filtering policy",
    "contentpolicyviolation",
    "flagged as potentially",
    "prompt was flagged",
    "input was flagged",
    "requires moderation",
    "prohibited content",
    "request blocked:",
    "contextwindowexceeded",
    "less than the context length",
    "does not fit the context",
    "your prompt contains at least",
)
"""Refusals for what one prompt holds, or for its length where its status would say something else."""

TOO_LARGE = ("request too large for", "required for long context")
"""What OpenAI and Groq say, as 429 and 413, of a prompt beyond a whole minute's tokens, which no waiting helps."""

BUSY = ("overloaded", "at capacity", "capacity_exceeded", "high demand", "too busy", "no deployments available")


def _said(fields: Mapping[str, str]) -> str:
    return " ".join(fields.values()).lower()


def of_the_row(status: int, fields: Mapping[str, str]) -> bool:
    """Whether a refusal lies in what this row's prompt holds, so that it tells nothing of other rows."""
    said = _said(fields)
    if status in (413, 429):
        return any(words in said for words in TOO_LARGE)
    codes = {code for name in ("code", "type", "reason") for code in fields[name].lower().split()}
    refused = not codes.isdisjoint(ROW_CODES.split()) or any(words in said for words in ROW_WORDS)
    return refused and 400 <= status < 500


def overloaded(status: int, fields: Mapping[str, str]) -> bool:
    """Whether a failure says that the provider has more to do than it can, for whoever asks (503, Anthropic's 529,
    Groq's 498, and what a gateway makes of them)."""
    said = _said(fields)
    return status in (498, 503, 529) or ((status >= 500 or status == 429) and any(w in said for w in BUSY))


def stop_for(status: int, fields: Mapping[str, str]) -> Stop | None:
    """Why every further call would fail as this one did, None where it may not."""
    said = _said(fields)
    if _passes(status, said):
        return None
    if status in (400, 404) and _RETIRED.search(said):
        return RETIRED
    for stop in STOPS:
        known = (*stop.codes.split(), *stop.words)
        if status == stop.status or (400 <= status < 500 and any(words in said for words in known)):
            return stop
    return _unnamed(status, fields, said)


def stop_for_decisions(status: int, fields: Mapping[str, str]) -> Stop | None:
    """The same of a request for a decision: an address or a model may not be there for that alone, and all requests of
    a run have the same questions."""
    said = _said(fields)
    # 500 is also an answer of status 200 that is an error (LM Studio)
    if status == NO_DECISIONS.status or (status <= 500 and any(words in said for words in NO_DECISIONS.words)):
        return NO_DECISIONS
    stop = stop_for(status, fields)
    if stop is None and status in (400, 422) and _QUESTIONS.search(said) and not _LENGTH.search(said):
        return QUESTIONS
    return {NOT_THERE: NO_DECISIONS_HERE, OTHER_INTERFACE: NO_DECISIONS}.get(stop, stop) if stop else None


def _passes(status: int, said: str) -> bool:
    """Whether what reads like an empty account is a limit that passes: DashScope's insufficient_quota is of tokens a
    minute, and OpenRouter reserves the most that the calls in flight can cost, so that fewer at a time fit."""
    if status == 402:
        return "in_flight_budget_exhausted" in said
    return status == 429 and any(word in said for word in ("aliyun", "alibabacloud", "allocated quota exceeded"))


def _unnamed(status: int, fields: Mapping[str, str], said: str) -> Stop | None:
    """What a status means where no known words tell."""
    of_a_model = fields["param"] == "model" or (status == 404 and ("model" in said or "deployment" in said))
    if status in (400, 404, 422) and of_a_model:
        return UNKNOWN
    if status == 503 and "no available channel for model" in said:
        return UNKNOWN
    return {403: NO_ENTRY, 404: NOT_THERE, 405: NOT_THERE}.get(status)
