"""Providers' own error bodies and what they mean: status, body, and what becomes of the call.

Taken from the providers' pages, and from threads and recordings where users show what they got, up to November 2026;
each group names its source.
"""

from __future__ import annotations

import json
from typing import Any

MODEL = "judge-1"
PROMPT = "Which answer is better, the long one about the badger or the short one about the fox?"


def openai(message: str, code: Any = None, kind: str | None = None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind or "invalid_request_error", "param": param, "code": code}}


def anthropic(kind: str, message: str, **more: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "req_011"}


def gemini(code: int, message: str, status: str, *details: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"error": {"code": code, "message": message, "status": status, "details": list(details)}}]


def openrouter(code: int, message: str, **metadata: Any) -> dict[str, Any]:
    error = {"code": code, "message": message} | ({"metadata": metadata} if metadata else {})
    return {"error": error, "user_id": "user_2x7"}


def mistral(message: Any, kind: str, code: str | None = None) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


QUOTA = "You exceeded your current quota, please check your plan and billing details."
VERIFIED = (
    "Your organization must be verified to use the model `gpt-5`. Please go to: "
    "https://platform.openai.com/settings/organization/general and click on Verify Organization. If you just verified, "
    "it can take up to 15 minutes for access to propagate."
)
DEPLOYMENT = (
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
    "please wait a moment and try again."
)
NO_CREDIT = ("has no credit left for this account", "top it up or raise its limit, then run again")
BAD_KEY = ("rejected the key", "check OPENAI_API_KEY and what it may use")
UNKNOWN = (f"has no model '{MODEL}'", "check its name with --model")
RETIRED = (f"no longer serves '{MODEL}'", "take the model that replaces it with --model")
NO_ACCESS = (
    f"gives this key no access to '{MODEL}'",
    "allow the model for its project there, or take another with --model",
)
OTHER_INTERFACE = (f"does not serve '{MODEL}' over chat completions", "take another model with --model")
NO_ENTRY = ("refused access", "check OPENAI_API_KEY and what it may use")
NOT_THERE = ("has nothing at this address", "check --base-url (it often ends in /v1)")
REGION = (
    "does not serve the country or region of this machine",
    "run from one that it serves, or take another provider",
)
HERE = (
    "refuses calls from this machine's address",
    "allow it in the account of OPENAI_API_KEY, or run where it is allowed",
)
TODAY = (
    "grants no more calls today",
    "run the same command again when its quota is renewed, nothing answered is asked twice",
)

STOPS: dict[str, tuple[int, Any, tuple[str, str], str]] = {
    # OpenAI: developers.openai.com/api/docs/guides/error-codes (September 2026), and threads
    "openai quota": (429, openai(QUOTA, "insufficient_quota", "insufficient_quota"), NO_CREDIT, QUOTA),
    "openai credits": (
        429,
        openai("Credit balance exhausted.", "credit_balance_exhausted", "insufficient_quota"),
        NO_CREDIT,
        "Credit balance exhausted.",
    ),
    "openai project limit": (429, openai("Over.", "project_spend_limit_exceeded"), NO_CREDIT, "Over."),
    "openai not active": (
        429,
        openai(
            "Your account is not active, please check your billing details on our website.",
            "billing_not_active",
            "billing_not_active",
        ),
        NO_CREDIT,
        "Your account is not active, please check your billing details on our website.",
    ),
    "openai hard limit": (
        400,
        openai("Billing hard limit has been reached", "billing_hard_limit_reached"),
        NO_CREDIT,
        "Billing hard limit has been reached",
    ),
    "openai key": (
        401,
        openai("Incorrect API key provided: sk-secre*******6789. You can find your API key there.", "invalid_api_key"),
        BAD_KEY,
        "Incorrect API key provided: [key] You can find your API key there.",
    ),
    "openai scopes": (
        401,
        openai("You have insufficient permissions for this operation. Missing scopes: model.request."),
        BAD_KEY,
        "You have insufficient permissions for this operation. Missing scopes: model.request.",
    ),
    "openai unknown": (
        404,
        openai("The model `judge-1` does not exist or you do not have access to it.", "model_not_found"),
        UNKNOWN,
        "The model `judge-1` does not exist or you do not have access to it.",
    ),
    "openai retired": (
        404,
        openai(
            "The model `gpt-4` has been deprecated, learn more here: https://platform.openai.com/docs/deprecations",
            "model_not_found",
        ),
        RETIRED,
        "The model `gpt-4` has been deprecated, learn more here: https://platform.openai.com/…",
    ),
    "openai project": (
        403,
        openai("Project `proj_JMo3` does not have access to model `gpt-4.1-2025-04-14`", "model_not_found"),
        NO_ACCESS,
        "Project `proj_JMo3` does not have access to model `gpt-4.1-2025-04-14`",
    ),
    "openai verified": (
        404,
        openai(VERIFIED, "model_not_found"),
        (f"gives '{MODEL}' to verified organizations alone", "verify yours there, or take another model with --model"),
        "Your organization must be verified to use the model `gpt-5`. Please go to: https://platform.openai.com/… and "
        "click on Verify Organization. If you just verified, it can take up to 15 minutes for …",
    ),
    "openai responses": (
        404,
        openai("This model is only supported in v1/responses and not in v1/chat/completions."),
        OTHER_INTERFACE,
        "This model is only supported in v1/responses and not in v1/chat/completions.",
    ),
    "openai completions": (
        404,
        openai(
            "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use "
            "v1/completions?",
            param="model",
        ),
        OTHER_INTERFACE,
        "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use "
        "v1/completions?",
    ),
    "openai country": (
        403,
        openai(
            "Country, region, or territory not supported", "unsupported_country_region_territory", "request_forbidden"
        ),
        REGION,
        "Country, region, or territory not supported",
    ),
    "openai address": (
        401,
        openai("Your IP is not authorized to use this project.", "ip_not_authorized"),
        HERE,
        "Your IP is not authorized to use this project.",
    ),
    # Azure: learn.microsoft.com, and threads
    "azure deployment": (
        404,
        {"error": {"code": "DeploymentNotFound", "message": DEPLOYMENT}},
        UNKNOWN,
        DEPLOYMENT,
    ),
    "azure retired": (
        410,
        {"error": {"code": "ModelDeprecated", "message": "gpt-4o was retired. Use gpt-6-luna instead."}},
        RETIRED,
        "gpt-4o was retired. Use gpt-6-luna instead.",
    ),
    "azure address": (
        404,
        {"error": {"code": "404", "message": "Resource not found"}},
        NOT_THERE,
        "Resource not found",
    ),
    "azure firewall": (
        403,
        {"error": {"code": "403", "message": "Access denied due to Virtual Network/Firewall rules."}},
        HERE,
        "Access denied due to Virtual Network/Firewall rules.",
    ),
    "azure interface": (
        400,
        {
            "error": {
                "code": "OperationNotSupported",
                "message": "The chatCompletion operation does not work with the specified model, gpt-6-codex. Please "
                "choose different model and try again.",
            }
        },
        OTHER_INTERFACE,
        "The chatCompletion operation does not work with the specified model, gpt-6-codex. Please choose different "
        "model and try again.",
    ),
    # Gemini's OpenAI-compatible endpoint: a list of one; behind gateways JSON within the message
    "gemini key": (
        400,
        gemini(
            400,
            "API key not valid. Please pass a valid API key.",
            "INVALID_ARGUMENT",
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
        ),
        BAD_KEY,
        "API key not valid. Please pass a valid API key.",
    ),
    "gemini within": (
        400,
        {
            "error": {
                "message": json.dumps(
                    gemini(400, "API key expired. Please renew the API key.", "INVALID_ARGUMENT")[0], indent=2
                ),
                "code": 400,
                "status": "Bad Request",
            }
        },
        BAD_KEY,
        "API key expired. Please renew the API key.",
    ),
    "gemini leaked": (
        403,
        gemini(403, "Your API key was reported as leaked. Please use another API key.", "PERMISSION_DENIED"),
        BAD_KEY,
        "Your API key was reported as leaked. Please use another API key.",
    ),
    "gemini place": (
        400,
        gemini(400, "User location is not supported for the API use.", "FAILED_PRECONDITION"),
        REGION,
        "User location is not supported for the API use.",
    ),
    "gemini unknown": (
        404,
        gemini(
            404,
            "models/gemini-9 is not found for API version v1main, or is not supported for generateContent.",
            "NOT_FOUND",
        ),
        UNKNOWN,
        "models/gemini-9 is not found for API version v1main, or is not supported for generateContent.",
    ),
    "gemini retired": (
        404,
        gemini(
            404,
            "This model models/gemini-2.0-flash is no longer available. Please update your code to use "
            "models/gemini-3.8-flash",
            "NOT_FOUND",
        ),
        RETIRED,
        "This model models/gemini-2.0-flash is no longer available. Please update your code to use "
        "models/gemini-3.8-flash",
    ),
    "gemini credits": (
        402,
        gemini(402, "Your prepayment credits are depleted.", "RESOURCE_EXHAUSTED"),
        NO_CREDIT,
        "Your prepayment credits are depleted.",
    ),
    "gemini none": (
        429,
        gemini(
            429,
            "Quota exceeded for metric: m, limit: 0, model: gemini-3.1-pro",
            "RESOURCE_EXHAUSTED",
            {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
        ),
        (f"grants this account no calls of '{MODEL}'", "take another model with --model, or another plan"),
        "Quota exceeded for metric: m, limit: 0, model: gemini-3.1-pro",
    ),
    "gemini day": (
        429,
        gemini(
            429,
            QUOTA,
            "RESOURCE_EXHAUSTED",
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
            },
        ),
        TODAY,
        QUOTA,
    ),
    # DeepSeek: api-docs.deepseek.com/quick_start/error_codes, and threads
    "deepseek unknown": (
        400,
        openai("Model Not Exist", "invalid_request_error"),
        UNKNOWN,
        "Model Not Exist",
    ),
    "deepseek balance": (
        402,
        openai("Insufficient Balance", "invalid_request_error"),
        NO_CREDIT,
        "Insufficient Balance",
    ),
    # OpenRouter: openrouter.ai/docs/api/reference/errors-and-debugging, and threads
    "openrouter name": (400, openrouter(400, "x/y is not a valid model ID"), UNKNOWN, "x/y is not a valid model ID"),
    "openrouter endpoints": (
        404,
        openrouter(404, "No endpoints found for stepfun/step-3.5-flash:free."),
        UNKNOWN,
        "No endpoints found for stepfun/step-3.5-flash:free.",
    ),
    "openrouter credits": (
        402,
        openrouter(402, "Insufficient credits. Add more using https://openrouter.ai/credits"),
        NO_CREDIT,
        "Insufficient credits. Add more using https://openrouter.ai/…",
    ),
    "openrouter day": (
        429,
        openrouter(429, "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests"),
        TODAY,
        "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests",
    ),
    "openrouter key": (401, openrouter(401, "User not found."), BAD_KEY, "User not found."),
    # Groq: console.groq.com/docs/errors, and threads
    "groq unknown": (
        404,
        openai("The model `llama-9` does not exist or you do not have access to it.", "model_not_found"),
        UNKNOWN,
        "The model `llama-9` does not exist or you do not have access to it.",
    ),
    "groq retired": (
        400,
        openai(
            "The model `llama-3.1-8b-instant` has been decommissioned and is no longer supported. Please refer to "
            "https://console.groq.com/docs/deprecations for a recommendation on which model to use instead.",
            "model_decommissioned",
        ),
        RETIRED,
        "The model `llama-3.1-8b-instant` has been decommissioned and is no longer supported. Please refer to "
        "https://console.groq.com/… for a recommendation on which model to use instead.",
    ),
    "groq spend": (400, openai("API access blocked", "blocked_api_access"), NO_CREDIT, "API access blocked"),
    "groq address": (
        404,
        openai("Unknown request URL: POST /openai/chat/completions. Please check the URL for typos", "unknown_url"),
        NOT_THERE,
        "Unknown request URL: POST /openai/chat/completions. Please check the URL for typos",
    ),
    # Mistral: docs.mistral.ai/resources/error-glossary, and threads
    "mistral unknown": (
        400,
        mistral("Invalid model: mistral-medium-9", "invalid_model", "1500"),
        UNKNOWN,
        "Invalid model: mistral-medium-9",
    ),
    "mistral payment": (402, {"detail": "Payment required"}, NO_CREDIT, "Payment required"),
    # xAI: docs.x.ai/docs/key-information/debugging, and threads: a text under "error", its sense under "code"
    "xai key": (
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "Incorrect API key provided: xa***. You can obtain an API key from https://console.x.ai.",
        },
        BAD_KEY,
        "Incorrect API key provided: xa***. You can obtain an API key from https://console.x.ai.",
    ),
    "xai credits": (
        403,
        {
            "code": "The caller does not have permission to execute the specified operation",
            "error": "Your newly created team doesn't have any credits or licenses yet.",
        },
        NO_CREDIT,
        "Your newly created team doesn't have any credits or licenses yet.",
    ),
    "xai unknown": (
        404,
        {
            "code": "Some requested entity was not found",
            "error": "The model grok-9 does not exist or your team does not have access to it.",
        },
        UNKNOWN,
        "The model grok-9 does not exist or your team does not have access to it.",
    ),
    # Together: docs.together.ai/docs/error-codes, and a client's recording
    "together unknown": (
        404,
        openai("Unable to access model x. Please visit the list of supported models.", "model_not_available"),
        UNKNOWN,
        "Unable to access model x. Please visit the list of supported models.",
    ),
    # Fireworks: docs.fireworks.ai/guides/inference-error-codes, and threads
    "fireworks unknown": (
        404,
        {
            "error": {
                "object": "error",
                "type": "invalid_request_error",
                "code": "NOT_FOUND",
                "message": "Model not found, inaccessible, and/or not deployed",
            }
        },
        UNKNOWN,
        "Model not found, inaccessible, and/or not deployed",
    ),
    "fireworks suspended": (
        412,
        {
            "error": {
                "message": "Account a is suspended, possibly due to reaching the monthly spending limit or failure to "
                "pay past invoices."
            }
        },
        NO_CREDIT,
        "Account a is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices.",
    ),
    # DashScope: help.aliyun.com/en/model-studio/error-code (flat, and in OpenAI's shape)
    "dashscope overdue": (
        400,
        openai("Access denied, please make sure your account is in good standing.", "Arrearage", "Arrearage"),
        NO_CREDIT,
        "Access denied, please make sure your account is in good standing.",
    ),
    "dashscope free tier": (
        403,
        {
            "code": "AllocationQuota.FreeTierOnly",
            "message": "The free tier of the model has been exhausted.",
            "request_id": "r",
        },
        NO_CREDIT,
        "The free tier of the model has been exhausted.",
    ),
    "dashscope key": (
        401,
        {"code": "InvalidApiKey", "message": "Invalid API-key provided."},
        BAD_KEY,
        "Invalid API-key provided.",
    ),
    "dashscope model": (
        403,
        {
            "code": "AccessDenied.Unpurchased",
            "message": "Access to model denied. Please make sure you are eligible for using the model.",
        },
        NO_ACCESS,
        "Access to model denied. Please make sure you are eligible for using the model.",
    ),
    # vLLM, transformers serve, Ollama, llama.cpp, NVIDIA's NIM, litellm's proxy, new-api
    "vllm unknown": (
        404,
        {"error": {"message": "The model `x` does not exist.", "type": "NotFoundError", "param": "model", "code": 404}},
        UNKNOWN,
        "The model `x` does not exist.",
    ),
    "transformers serve unknown": (
        400,
        {"detail": "Server is pinned to 'tiny/judge'; requested 'x'."},
        UNKNOWN,
        "Server is pinned to 'tiny/judge'; requested 'x'.",
    ),
    "ollama unknown": (
        404,
        openai('model "x" not found, try pulling it first', kind="not_found_error"),
        UNKNOWN,
        'model "x" not found, try pulling it first',
    ),
    "llama.cpp key": (
        401,
        {"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}},
        BAD_KEY,
        "Invalid API Key",
    ),
    "nim retired": (
        410,
        {
            "type": "about:blank",
            "title": "Gone",
            "status": 410,
            "detail": "The model 'meta/llama-3.1-8b' has reached its end of life on 2026-08-26 and is no longer there.",
        },
        RETIRED,
        "The model 'meta/llama-3.1-8b' has reached its end of life on 2026-08-26 and is no longer there.",
    ),
    "litellm unknown": (
        400,
        openai("/chat/completions: Invalid model name passed in model=x. Call `/v1/models` to view yours.", "400"),
        UNKNOWN,
        "/chat/completions: Invalid model name passed in model=x. Call `/v1/models` to view yours.",
    ),
    "litellm key": (400, openai("No connected db.", "400", "no_db_connection"), BAD_KEY, "No connected db."),
    "litellm's own key": (
        401,
        openai(
            "litellm.AuthenticationError: AuthenticationError: OpenAIException - Incorrect API key provided",
            "401",
            "authentication_error",
        ),
        ("was refused by the provider behind it", "check the key that the proxy has for that provider"),
        "litellm.AuthenticationError: AuthenticationError: OpenAIException - Incorrect API key provided",
    ),
    "litellm access": (
        401,
        openai(
            "key not allowed to access model. This key can only access models=['a']. Tried to access x",
            "401",
            "key_model_access_denied",
            "model",
        ),
        NO_ACCESS,
        "key not allowed to access model. This key can only access models=['a']. Tried to access x",
    ),
    "litellm budget": (
        429,
        openai("Budget has been exceeded! Current cost: 5.0, Max budget: 1.0", "429", "budget_exceeded"),
        NO_CREDIT,
        "Budget has been exceeded! Current cost: 5.0, Max budget: 1.0",
    ),
    "new-api channel": (
        503,
        openai(
            "No available channel for model x under group default (distributor)", "model_not_found", "new_api_error"
        ),
        UNKNOWN,
        "No available channel for model x under group default (distributor)",
    ),
    "nothing there": (404, "404 page not found", NOT_THERE, "404 page not found"),
    "a page": (404, "<html><body>Not Found</body></html>", NOT_THERE, ""),
    "a firewall's page": (403, "<!DOCTYPE html><title>Attention Required! | Cloudflare</title>", NO_ENTRY, ""),
    "not here": (405, {"detail": "Method Not Allowed"}, NOT_THERE, "Method Not Allowed"),
    "who knows": (
        403,
        openai("You have no permission to access this resource"),
        NO_ENTRY,
        "You have no permission to access this resource",
    ),
}


ANTHROPIC_STOPS = {
    # platform.claude.com/docs/en/api/errors, and threads
    "usage limits": (
        400,
        anthropic(
            "invalid_request_error",
            "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.",
        ),
        "has no credit left for this account",
    ),
    "tier's limit": (
        429,
        anthropic(
            "rate_limit_error",
            "Your organization has crossed its monthly threshold.",
            details={"error_code": "enforced_spend_limit_reached"},
        ),
        "has no credit left for this account",
    ),
    "credit": (
        400,
        anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
        "has no credit left for this account",
    ),
    "billing": (402, anthropic("billing_error", "billing"), "has no credit left for this account"),
    "key": (401, anthropic("authentication_error", "invalid x-api-key"), "rejected the key"),
    "permission": (
        403,
        anthropic("permission_error", "Your API key does not have permission to use the specified resource."),
        "refused access",
    ),
    "model": (404, anthropic("not_found_error", "model: claude-sonnet-9"), f"has no model '{MODEL}'"),
    "retired": (
        404,
        anthropic("not_found_error", "model: claude-2.1 has been retired. Use claude-sonnet-5 instead."),
        f"no longer serves '{MODEL}'",
    ),
}


TPM = (
    "Request too large for gpt-4o in organization org-78as on tokens per min (TPM): Limit 30000, Requested 31538. The "
    "input or output tokens must be reduced in order to run successfully."
)
GROQ_TPM = (
    "Request too large for model `openai/gpt-oss-120b` in organization `org_x` service tier `on_demand` on tokens per "
    "minute (TPM): Limit 8000, Requested 11387, please reduce your message size and try again."
)
VLLM_LENGTH = (
    "This model's maximum context length is 8192 tokens. However, your prompt contains at least 8193 input tokens, "
    "which exceeds this limit even without any output tokens. Please reduce the length of the input prompt."
)
FLAGGED = {"reasons": ["violence"], "flagged_input": "...", "provider_name": "OpenAI", "model_slug": "openai/gpt-6"}
ROWS: dict[str, tuple[str, int, Any, str]] = {
    "openrouter moderation": (
        "openai",
        403,
        openrouter(403, "Your chosen model requires moderation and your input was flagged", **FLAGGED),
        "Your chosen model requires moderation and your input was flagged",
    ),
    "openrouter flagged": ("openai", 403, openrouter(403, "Input was rejected", **FLAGGED), "Input was rejected"),
    "openrouter guardrail": (
        "openai",
        403,
        openrouter(403, "Request blocked: prompt injection patterns detected", patterns=["ignore"]),
        "Request blocked: prompt injection patterns detected",
    ),
    "xai safety": (
        "openai",
        403,
        {
            "code": "The caller does not have permission to execute the specified operation",
            "error": "Content violates usage guidelines. Team: t, API key ID: i, Model: grok-4, Failed check: "
            "SAFETY_CHECK_TYPE_BIO",
        },
        "Content violates usage guidelines. Team: t, API key ID: i, Model: grok-4, Failed check: SAFETY_CHECK_TYPE_BIO",
    ),
    "openai prompt": (
        "openai",
        400,
        openai("Invalid prompt: your prompt was flagged as potentially violating our usage policy.", "invalid_prompt"),
        "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
    ),
    "azure filter": (
        "openai",
        400,
        {
            "error": {
                "message": "The response was filtered.",
                "type": None,
                "param": "prompt",
                "code": None,
                "status": 400,
                "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
            }
        },
        "The response was filtered.",
    ),
    "deepseek risk": ("openai", 400, openai("Content Exists Risk", "invalid_request_error"), "Content Exists Risk"),
    "dashscope inspection": (
        "openai",
        400,
        openai("Input data may contain inappropriate content.", "data_inspection_failed", "data_inspection_failed"),
        "Input data may contain inappropriate content.",
    ),
    "anthropic filter": (
        "anthropic",
        400,
        anthropic("invalid_request_error", "Output blocked by content filtering policy"),
        "Output blocked by content filtering policy",
    ),
    "together length": (
        "openai",
        403,
        openai("Input token count + max_tokens parameter must be less than the context length of the model."),
        "Input token count + max_tokens parameter must be less than the context length of the model.",
    ),
    "llama.cpp length": (
        "openai",
        400,
        {
            "error": {
                "code": 400,
                "message": "request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it",
                "type": "exceed_context_size_error",
            }
        },
        "request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it",
    ),
    "vllm length": ("openai", 400, openai(VLLM_LENGTH, 400, "BadRequestError", "input_tokens"), VLLM_LENGTH),
    "openai minute": ("openai", 429, openai(TPM, "rate_limit_exceeded", "tokens"), TPM),
    "groq minute": ("openai", 413, openai(GROQ_TPM, "rate_limit_exceeded", "tokens"), GROQ_TPM),
    "anthropic long": (
        "anthropic",
        429,
        anthropic("rate_limit_error", "Extra usage is required for long context requests."),
        "Extra usage is required for long context requests.",
    ),
}


OTHERS = {
    "a parameter": (400, openai("Unsupported value: 'n' does not support 3", "unsupported_value", param="n")),
    "one that is deprecated": (400, openai("`top_k` is deprecated for this model.", "invalid_request_error")),
    "a length": (400, openai("This model's maximum context length is 2048 tokens.", 400, "BadRequestError")),
    "a field": (
        422,
        mistral(
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "x"], "msg": "Extra inputs are not permitted"}]},
            "invalid_request_error",
        ),
    ),
}


DASHSCOPE_TPM = QUOTA + " For more information on this error, read the docs: https://help.aliyun.com/zh/dashscope/"
AGAIN: dict[str, tuple[str, int, Any, dict[str, str], str, float | None]] = {
    "openai minute": (
        "openai",
        429,
        openai("Rate limit reached for gpt-6-luna on tokens per min (TPM). Please try again in 1.2s.", "rate_limit"),
        {},
        "throttled",
        1.2,
    ),
    "openai header": ("openai", 429, openai("Rate limit reached"), {"retry_after": "7"}, "throttled", 7.0),
    "openai busy": (
        "openai",
        503,
        openai("The server is overloaded.", "server_is_overloaded", "service_unavailable_error"),
        {"retry_after": "30"},
        "overloaded",
        30.0,
    ),
    "gemini minute": (
        "openai",
        429,
        gemini(
            429, f"{QUOTA}\n* Quota exceeded, limit: 5, model: g\nPlease retry in 51.449116197s.", "RESOURCE_EXHAUSTED"
        ),
        {},
        "throttled",
        51.449116197,
    ),
    "gemini busy": (
        "openai",
        503,
        gemini(503, "This model is currently experiencing high demand.", "UNAVAILABLE"),
        {},
        "overloaded",
        None,
    ),
    "anthropic minute": (
        "anthropic",
        429,
        anthropic("rate_limit_error", "This request would exceed your account's rate limit. Please try again later."),
        {"retry_after": "12"},
        "throttled",
        12.0,
    ),
    "anthropic busy": ("anthropic", 529, anthropic("overloaded_error", "Overloaded"), {}, "overloaded", None),
    "anthropic busy within": ("anthropic", 500, anthropic("overloaded_error", "Overloaded"), {}, "overloaded", None),
    "openrouter provider": (
        "openai",
        529,
        openrouter(529, "Provider returned error", provider_name="X", error_type="provider_overloaded"),
        {"retry_after": "5"},
        "overloaded",
        5.0,
    ),
    "openrouter in flight": (
        "openai",
        402,
        openrouter(402, "Budget of calls in flight exhausted", reason="in_flight_budget_exhausted"),
        {},
        "throttled",
        None,
    ),
    "groq capacity": ("openai", 498, openai("Flex tier is at capacity", "capacity_exceeded"), {}, "overloaded", None),
    "groq day": (
        "openai",
        429,
        openai("Rate limit reached on tokens per day (TPD). Please try again in 7m12.5s.", "rate_limit_exceeded"),
        {},
        "throttled",
        432.5,
    ),
    "dashscope minute": (
        "openai",
        429,
        openai(DASHSCOPE_TPM, "insufficient_quota", "insufficient_quota"),
        {},
        "throttled",
        None,
    ),
    "azure minute": (
        "openai",
        429,
        {"error": {"code": "429", "message": "Exceeded token rate limit. Please retry after 20 seconds."}},
        {},
        "throttled",
        20.0,
    ),
    "llama.cpp loads": (
        "openai",
        503,
        {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
        {},
        "overloaded",
        None,
    ),
    "litellm cools down": (
        "openai",
        429,
        openai("No deployments available for selected model, Try again in 5 seconds. Passed model=x.", "429", "None"),
        {},
        "overloaded",
        5.0,
    ),
    "envoy": ("openai", 503, "no healthy upstream", {}, "overloaded", None),
    "a gateway's time": ("openai", 504, "<html>504 Gateway Time-out</html>", {}, "slow", None),
    "cloudflare's time": ("openai", 524, "error code: 524", {}, "slow", None),
    "nginx": ("openai", 502, "<html>502 Bad Gateway</html>", {}, "", None),
    "a fault": ("openai", 500, openai("The server had an error", "server_error"), {}, "", None),
}
