"""A model provider on the loopback interface: OpenAI's chat completions and decisions, Anthropic's messages and System
One, with faults to order.

Answers follow from a hash of the prompt alone, so that two runs, or a run and its resume, can be compared byte for
byte. In tests it runs in a thread (`with Loopback() as server: server.url`); for benchmarks and demonstrations as a
process of its own: `python tests/loopback.py --port 8123 --latency-ms 50 --fault-every 10`.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import re
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Fault = Callable[["Call"], Any]
PASSING = ("429", "429-after", "500", "drop", "truncated", "empty")
"""The faults a client must survive, in the order that `fault_every` goes through them."""

LABELS = ("A>>B", "A>B", "A=B", "B>A", "B>>A")
STAGES = ("Your critique of A", "What happens next?", "Your case:", "give up what you cannot defend")
"""What the prompts of stages that write text before a verdict end with."""


@dataclass(slots=True)
class Call:
    """One request as the server saw it."""

    wire: str
    body: dict[str, Any]
    headers: dict[str, str]
    hash: str = ""

    @property
    def prompt(self) -> str:
        if "messages" in self.body:
            return "\n".join(str(m["content"]) for m in self.body["messages"])
        return json.dumps(self.body.get("input", self.body.get("state")))


@dataclass(slots=True)
class Plan:
    """What the server does: `script` holds the faults of the next calls (None: answer), one each; then every
    `fault_every`th call gets the next passing fault. `refuse` is asked about each call before all that and may name a
    fault for it. `headers` go with every answer; `decision` is what a decision is answered with in both shapes (a
    function of the call, or the answer itself), None where there is no such address. `models` is what is said of a
    model by its name (of all of them by ""): JSON, a text as it is, an error status, or None for no answer at all."""

    latency: float = 0.0
    fault_every: int = 0
    script: deque[str | None] = field(default_factory=deque)
    refuse: Callable[[Call], str | None] = lambda call: None
    model: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    decision: Any = None
    models: dict[str, Any] = field(default_factory=dict)


class Loopback:
    """The server in a thread of this process. `calls` lists every request in order of arrival (with `keep`), `asked`
    counts each distinct body; `GET /calls` tells the counts to another process."""

    def __init__(self, *, keep: bool = True, port: int = 0, **plan: Any) -> None:
        self.port = port
        self.plan = Plan(**plan)
        self.keep = keep
        self.calls: list[Call] = []
        self.asked: Counter[str] = Counter()
        self.looked: list[str] = []
        self.received = 0
        self.requests = 0
        self.answered = 0
        self.running = 0
        self.most_running = 0
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def script(self, *faults: str | None) -> None:
        """Sets the faults of the next calls."""
        self.plan.script = deque(faults)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self.start("127.0.0.1", self.port))
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._stop())
        self._loop.close()

    async def _stop(self) -> None:
        await self._runner.cleanup()
        hanging = asyncio.all_tasks() - {asyncio.current_task()}
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)

    async def start(self, host: str, port: int) -> None:
        """Binds and serves in the current loop."""
        app = web.Application(client_max_size=2**26, middlewares=[self._counted])
        self.add_routes(app.router)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=2048)
        await site.start()
        bound = self._runner.addresses[0]
        self.port = bound[1]
        self.url = f"http://{bound[0]}:{bound[1]}"

    @web.middleware
    async def _counted(self, request: web.Request, handler: Any) -> Any:
        """Counts whatever is posted, also what has no address here; what is looked up is no call."""
        self.requests += request.method == "POST"
        return await handler(request)

    async def _decide(self, request: web.Request) -> web.StreamResponse:
        if self.plan.decision is None:
            return web.json_response({"error": {"message": "Not Found"}}, status=404)
        return await self._answer("systemone" if request.path.endswith("systemone") else "decisions", request)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """The addresses that are answered."""
        router.add_post("/v1/chat/completions", self._openai)
        router.add_post("/openai/deployments/{name}/chat/completions", self._openai)
        router.add_post("/v1/messages", self._anthropic)
        router.add_post("/v1/decisions", self._decide)
        router.add_post("/v1/systemone", self._decide)
        router.add_get("/v1/models", self._models)
        router.add_get("/v1/models/{name:.+}", self._models)
        router.add_get("/calls", self._counts)

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        return await self._answer("openai", request)

    async def _anthropic(self, request: web.Request) -> web.StreamResponse:
        return await self._answer("anthropic", request)

    async def _counts(self, request: web.Request) -> web.Response:
        counts = {"received": self.received, "answered": self.answered, "running": self.running, "asked": self.asked}
        return web.json_response(counts)

    async def _models(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name", "")
        self.looked.append(name)
        said = self.plan.models.get(name, 404)
        if said is None:
            await asyncio.sleep(3600)
        if isinstance(said, int):
            return web.json_response({"error": {"message": f"The model '{name}' does not exist"}}, status=said)
        text = said if isinstance(said, str) else json.dumps(said)
        return web.Response(text=text, content_type="application/json")

    async def _answer(self, wire: str, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        call = Call(
            wire, json.loads(raw), {k.lower(): v for k, v in request.headers.items()}, hashlib.sha256(raw).hexdigest()
        )
        if self.keep:
            self.calls.append(call)
        self.asked[call.hash] += 1
        self.received += 1
        number = self.received
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            fault = self.plan.refuse(call)
            if fault is None and self.plan.script:
                fault = self.plan.script.popleft()
            elif fault is None and self.plan.fault_every and number % self.plan.fault_every == 0:
                fault = PASSING[(number // self.plan.fault_every - 1) % len(PASSING)]
            if self.plan.latency:
                await asyncio.sleep(self.plan.latency)
            response = await self._faulty(fault, call, request)
            response.headers.update(self.plan.headers)
        finally:
            self.running -= 1
        return response

    async def _faulty(self, fault: str | None, call: Call, request: web.Request) -> web.StreamResponse:
        kind, _, argument = (fault or "").partition(":")
        if kind == "drop":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if kind == "hang":
            await asyncio.sleep(3600)
        if kind == "404-path":
            return web.Response(status=404, text="404 page not found")
        if kind == "page":
            return web.Response(text="<html><body>Welcome to nginx!</body></html>", content_type="text/html")
        if kind == "json":
            return web.Response(text=argument, content_type="application/json")
        if kind[:1].isdigit() or kind in ("quota", "raw"):
            return error(kind, argument, call)
        if call.wire in ("decisions", "systemone"):
            made = self.plan.decision(call) if callable(self.plan.decision) else self.plan.decision
        else:
            made = answer_openai(call, kind) if call.wire == "openai" else answer_anthropic(call, kind)
            made["model"] = argument if kind == "model" else self.plan.model or call.body["model"]
        text = json.dumps(made)
        self.answered += 1
        if kind == "truncated":
            text = text[: len(text) // 2]
        return web.Response(text=text, content_type="application/json")


def raw(status: int, body: object, **headers: str) -> str:
    """The fault whose answer is given whole: a text as it is, anything else as JSON; `retry_after` is a header."""
    text = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return "raw:" + json.dumps({"status": status, "text": text, "headers": named})


WORDS = {
    "429": ("Rate limit reached", "rate_limit_exceeded", None),
    "429-after": ("Rate limit reached", "rate_limit_exceeded", None),
    "quota": ("You exceeded your current quota", "insufficient_quota", None),
    "400": ("invalid content: {prompt}", "invalid_request_error", None),
    "400-temperature": ("'temperature' does not support 0 with this model.", "unsupported_value", "temperature"),
    "400-max_tokens": (
        "Unsupported: 'max_tokens'. Use 'max_completion_tokens'.",
        "unsupported_parameter",
        "max_tokens",
    ),
    "400-logprobs": ("Unsupported parameter: 'logprobs'", "unsupported_parameter", "logprobs"),
    "401": ("Incorrect API key provided: {key}", "invalid_api_key", None),
    "404": ("The model does not exist", "model_not_found", None),
}
"""What a fault says: message, code and parameter. A provider may well quote the prompt or the key: so do these."""


def error(kind: str, argument: str, call: Call) -> web.Response:
    """A fault's answer in the provider's shape; `argument` is its Retry-After or its own words."""
    if kind == "raw":
        whole = json.loads(argument)
        return web.Response(**whole, content_type="application/json")
    message, code, param = WORDS.get(kind, ("The server had an error", "server_error", None))
    if kind == "400" and argument:
        message = argument
    key = call.headers.get("authorization", call.headers.get("x-api-key", ""))
    message = message.replace("{prompt}", call.prompt).replace("{key}", key)
    inner = {"message": message, "type": code, "code": code, "param": param}
    body = (
        {"error": inner} if call.wire != "anthropic" else {"type": "error", "error": {"type": code, "message": message}}
    )
    headers = {"retry-after": argument or "0.05"} if kind == "429-after" else None
    return web.json_response(body, status=429 if kind == "quota" else int(kind.partition("-")[0]), headers=headers)


def share_first(prompt: str) -> float:
    """How strongly the first-shown answer is preferred, in (0, 1), by a hash of the prompt."""
    return (int.from_bytes(hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()[:4]) + 1) / (2**32 + 2)


def reply(call: Call) -> str:
    """A verdict in the form that the prompt asks for."""
    first = share_first(call.prompt)
    schema = find_schema(call.body)
    if schema is not None:
        return json.dumps(_value(schema, first))
    if any(end in call.prompt for end in STAGES):
        return f"Point {int(1000 * first)} is worth a thought."
    # Anthropic's form has the system message beside the others
    asked = f"{call.body.get('system', '')}\n{call.prompt}"
    if "<answer_1>" in asked:
        grade = f"{1 + int((1 - first) * 5)}"
        return f"It has its merits.\n\n[[{grade}]]" if "square brackets" in asked else grade
    return _several(call.prompt) or _of_two(asked, first)


def _of_two(asked: str, first: float) -> str:
    if "A>>B" in asked:
        return f"Answer A has its merits, and so has B.\n\nMy verdict: [[{LABELS[int((1 - first) * len(LABELS))]}]]"
    if "[[A]]" in asked:
        return "[[A]]" if first > 0.5 else "[[B]]"
    return "m" if first > 0.5 else "M"


def _several(prompt: str) -> str:
    """An ordering of all answers, or a line for each pair, where the prompt shows more than two; else nothing."""
    if "<ranking>" in prompt:
        letters = sorted({*re.findall("<answer_([A-Z])>", prompt)}, key=lambda one: share_first(prompt + one))
        return f"<ranking>{' > '.join(letters)}</ranking>"
    numbers = re.findall(r"^Number (\d+)$", prompt, re.M)
    return "\n".join(f"{n}: [[{'A' if share_first(prompt + n) > 0.5 else 'B'}]]" for n in numbers)


def find_schema(body: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON schema that a body holds the reply to."""
    if "response_format" in body:
        schema: dict[str, Any] = body["response_format"]["json_schema"]["schema"]
        return schema
    if "format" in body.get("output_config", {}):
        schema = body["output_config"]["format"]["schema"]
        return schema
    return None


def _value(rule: dict[str, Any], first: float) -> Any:
    choices, kind = rule.get("enum"), rule.get("type", "")
    if kind == "object":
        # what is said of B is the opposite of what is said of A
        own = {name: 1 - first if name == "B" else first for name in rule.get("properties", {})}
        return {name: _value(rule["properties"][name], share) for name, share in own.items()}
    if kind == "array" and rule["items"].get("type") == "string":
        return [f"It is {int(1000 * first)}.", "It is short."]
    if kind == "array" and "item" in rule["items"]["properties"]:
        return [{**_value(rule["items"], first), "item": number} for number in range(1, 10)]
    if kind == "array":
        # two of them, the second the less weighty
        return [
            {name: f"{n} of two" if part["type"] == "string" else first / n for name, part in rules.items()}
            for rules in [rule["items"]["properties"]]
            for n in (1, 2)
        ]
    if choices:
        return choices[min(len(choices) - 1, int((1 - first) * len(choices)))]
    return {"integer": 1, "number": first, "boolean": first > 0.5}.get(kind, "because it answers the question")


def answer_openai(call: Call, kind: str) -> dict[str, Any]:
    """A chat completion; `kind` empty has no choices, `refusal` refuses."""
    first = share_first(call.prompt)
    text = reply(call)
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "finish_reason": "stop",
        "logprobs": None,
    }
    if kind == "refusal":
        choice["message"] = {"role": "assistant", "content": None, "refusal": "I can't help with that."}
    elif call.body.get("logprobs") and kind != "no-logprobs":
        letters = ("4", "2", " 4") if "<answer_1>" in call.prompt else ("m", "M", " m")
        top = list(zip(letters, (math.log(first), math.log(1 - first), -9.5), strict=True))[: call.body["top_logprobs"]]
        shown = [{"token": token, "logprob": value, "bytes": None} for token, value in top]
        choice["logprobs"] = {"content": [{**max(shown, key=lambda t: t["logprob"]), "top_logprobs": shown}]}
    usage = {"prompt_tokens": len(call.prompt) // 4, "completion_tokens": max(1, len(text) // 4)}
    usage["total_tokens"] = sum(usage.values())
    return {
        "id": f"chatcmpl-{call.hash[:12]}",
        "object": "chat.completion",
        "created": 0,
        "choices": [] if kind == "empty" else [choice],
        "usage": usage,
    }


def answer_decision(call: Call) -> dict[str, Any]:
    """Probabilities by a hash of the prompt, in the shape in which they were asked for."""
    first = share_first(call.prompt)
    questions, listed = call.body["questions"], call.wire == "decisions"
    asked = [(q.get("name"), q) for q in questions] if listed else list(questions.items())
    answers = [(name, (_listed if listed else _keyed)(q, first)) for name, q in asked]
    tokens = len(call.prompt) // 4
    usage: dict[str, Any] = {"input_tokens": tokens, "output_tokens": 0}
    if not listed:
        return {"model": call.body["model"], "answers": dict(answers), "usage": usage}
    details = {"cached_tokens": tokens // 2, "cache_write_tokens": 0}
    usage |= {"input_tokens_details": details, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": tokens}
    return {"model": call.body["model"], "answers": [{"name": name, **a} for name, a in answers], "usage": usage}


def _shares(count: int, first: float) -> list[float]:
    return [first, *[(1 - first) / (count - 1)] * (count - 1)]


def _listed(question: dict[str, Any], first: float) -> dict[str, Any]:
    kind = question["type"]
    if kind == "predicate":
        return {"type": kind, "probability": first}
    options = question.get("choices") or question["levels"]
    shares = enumerate(_shares(len(options), first))
    if kind == "choice":
        chances = [{"value": options[i]["value"], "probability": p} for i, p in shares]
        return {"type": kind, "choice": options[0]["value"], "confidence": 0.5, "probabilities": chances}
    chances = [{"value": i, "label": options[i]["label"], "probability": p} for i, p in shares]
    return {"type": kind, "score": 0.5, "confidence": 0.5, "probabilities": chances}


def _keyed(question: dict[str, Any], first: float) -> dict[str, Any]:
    kind, criteria = question["type"], question.get("criteria")
    if kind == "noul":
        return {"type": kind, "noul": first}
    names = list(criteria) if kind == "choice" else [str(i) for i in range(len(criteria))]
    chances = dict(zip(names, _shares(len(names), first), strict=True))
    if kind == "choice":
        return {"type": kind, "choice": names[0], "confidence": 0.5, "probabilities": chances}
    legend = dict(zip(names, criteria, strict=True))
    return {"type": kind, "score": 0.5, "legend": legend, "confidence": 0.5, "probabilities": chances}


def answer_anthropic(call: Call, kind: str) -> dict[str, Any]:
    """A message; `kind` empty has no content, `refusal` refuses."""
    text = reply(call)
    return {
        "id": f"msg_{call.hash[:12]}",
        "type": "message",
        "role": "assistant",
        "content": [] if kind in ("empty", "refusal") else [{"type": "text", "text": text}],
        "stop_reason": "refusal" if kind == "refusal" else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": len(call.prompt) // 4, "output_tokens": max(1, len(text) // 4)},
    }


async def main() -> None:
    """Serves until killed; the first line on stdout is the address to give as --base-url."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--latency-ms", type=float, default=0.0)
    options.add_argument("--fault-every", type=int, default=0, metavar="N", help="every Nth call gets the next fault")
    chosen = options.parse_args()
    latency = chosen.latency_ms / 1000
    server = Loopback(keep=False, latency=latency, fault_every=chosen.fault_every, decision=answer_decision)
    await server.start(chosen.host, chosen.port)
    print(f"{server.url}/v1", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
