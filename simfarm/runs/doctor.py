"""What a run needs of a model, asked with one cheap question each, before anything is paid for.

A handful of calls through the same backend that a run uses, each read as a run would read it; a failure is an answer.
Nothing is stored: the next examination asks anew.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from simfarm.backends.base import Backend, Decider, insist
from simfarm.backends.http.about import About, Describing, known_about
from simfarm.backends.http.failures import Unreachable
from simfarm.backends.http.retirements import retirement
from simfarm.backends.http.tap import NOT_ASKED, Tap
from simfarm.backends.http.traits import traits
from simfarm.data.decision import distribution
from simfarm.data.exchange import CallError, Completion, Message, Metered, Request, TransientError
from simfarm.engine.prices import Tariff, price_table
from simfarm.errors import InputError, ProviderError
from simfarm.judges import Judge, list_judges
from simfarm.runs.enquiries import CLAIM, DRAWN, IS_TRUE, LETTER, MOST_CALLS, NUMBER, PLAIN, SCHEMA, STEPS
from simfarm.runs.findings import Examination, Finding, tokens_of
from simfarm.runs.fitness import check_questions, check_scoring
from simfarm.runs.options import RunOptions
from simfarm.text.masking import shown_url

__all__ = ["examine"]

TIMEOUT = 60.0
"""Seconds a server has for a call."""

NO_CHAT = (404, 405, 501)
"""Statuses of a server that may have an address for decisions alone."""

READS_TEXT = "a judge that reads text: pairwise-reasoned"
VARIES = "--repeats shows how far its verdicts vary"


async def examine(
    backend: Backend, model: str, options: RunOptions | None = None, judge: Judge | None = None
) -> Examination:
    """Ask `model` one question for each thing that a run may need, at the price and with the time-out of `options`;
    closes the backend. `judge` is one that is to be served. No failure of a call is raised: it is a finding."""
    doctor = _Doctor(backend, model, options or RunOptions())
    try:
        if getattr(backend, "only_decides", False):
            answers = await doctor.meet()
        elif answers := await doctor.greet():
            await doctor.weigh()
            await doctor.hold()
            await doctor.decide()
        elif isinstance(backend, Decider) and doctor.tap.status in NO_CHAT:
            answers = await doctor.meet()
        if answers:
            doctor.serve(judge)
        if not backend.in_process:
            await doctor.outlast(ask=answers)
        doctor.describe()
    finally:
        await backend.close()
    doctor.examination.calls = doctor.tap.calls if doctor.tap.open else None
    return doctor.examination


class _Doctor:
    """The questions, in the order in which their answers depend on each other."""

    def __init__(self, backend: Backend, model: str, options: RunOptions) -> None:
        self.backend, self.model, self.price = backend, model, options.price
        self.timeout = None if backend.in_process else options.timeout or TIMEOUT
        self.tariff = Tariff(backend.name, backend.base_url, options.price)
        self.tap = Tap(backend, MOST_CALLS)
        self.examination = Examination(model if backend.in_process else f"{backend.name}/{model}")
        self.add = self.examination.add
        self.rates: dict[str, str] = {}
        self.alone = False

    async def ask(self, messages: tuple[Message, ...], **sampling: Any) -> Completion | Exception:
        """The completion, or what came instead of one."""
        try:
            self.backend.check(self.model, sampling)
            async with asyncio.timeout(self.timeout):
                reply = await insist(self.backend, Request(self.model, messages, sampling))
        except TimeoutError:
            return TransientError(f"no answer within {self.timeout:g} s: raise --timeout")
        except (CallError, TransientError, ProviderError, InputError) as error:
            return error
        self.rates = self.tap.rates() or self.rates
        self.pay(reply)
        return reply

    def pay(self, reply: Metered) -> None:
        cost = 0.0 if self.backend.in_process else self.tariff.paid(reply)
        self.examination.cost = None if cost is None or self.examination.cost is None else self.examination.cost + cost

    async def greet(self) -> bool:
        """Whether the model answers at all; and what that answer shows of it."""
        sampling: Mapping[str, Any] = {"max_tokens": 16} if self.backend.in_process else DRAWN
        reply = await self.ask(PLAIN, **sampling)
        objection = ""
        if isinstance(reply, CallError) and re.search("system|developer", str(reply), re.IGNORECASE):
            objection, without = str(reply), await self.ask(PLAIN[1:], **sampling)
            reply = without if isinstance(without, Completion) else reply
        if isinstance(reply, Exception):
            self._refused(reply)
            return False
        if self.backend.in_process:
            self.add("engine", True, f"{reply.engine or self.backend.name} runs it in this process")
            self.add("weights", True, f"{reply.model or self.model}")
        else:
            self._let_in()
            self.add("model", True, f"{reply.model or self.model} answers")
        replied = bool(reply.text.strip())
        self.add(
            "reply",
            replied,
            f"{reply.finish_reason or 'stop'}, {tokens_of(reply)}",
            "" if replied else "raise max_tokens",
        )
        if objection:
            self.add("system message", False, objection, "the same text in {% block user %} of the judge's template")
        else:
            heeded = "badger" in reply.text.lower()
            detail = "heeded" if heeded else "taken, and not heeded in this reply"
            self.add("system message", heeded or None, detail, "" if heeded else "say it in {% block user %} too")
        if not self.backend.in_process:
            self._parameters(reply)
        return replied

    def _let_in(self) -> None:
        variable = getattr(self.backend, "key_variable", "")
        where = shown_url(self.backend.base_url) if self.backend.base_url else self.backend.name
        self.add("server", True, f"{where} answers")
        self.add("key", True, f"{variable} is accepted" if os.environ.get(variable) else "none is set, or wanted")

    def _refused(self, error: Exception, steps: Sequence[str] = ()) -> None:
        """What could not be reached, by how far a call came in the order of `steps`."""
        detail, lost = str(error), isinstance(error, Unreachable) or (self.tap.open and self.tap.status is None)
        more = [] if steps else ["system message", "log probabilities", "JSON schema"]
        steps = steps or (["weights"] if self.backend.in_process else ["server", "key", "model", "reply"])
        named = (step for step, said in STEPS.items() if any(what.format(model=self.model) in detail for what in said))
        bad = next(named, "model" if isinstance(error, InputError) else "server" if lost else steps[-1])
        bad = bad if bad in steps else steps[0]
        for step in steps:
            good = steps.index(step) < steps.index(bad)
            if step == bad or good:
                self.add(step, good, detail if step == bad else "answers" if step == "server" else "accepted")
        for question in [*steps[steps.index(bad) + 1 :], *more]:
            self.add(question, None, NOT_ASKED)

    def _parameters(self, reply: Completion) -> None:
        """What the request was allowed to say, by what went over the wire in the end."""
        tap = self.tap
        thought = reply.thinking_tokens
        if thought is None and not reply.text.strip() and reply.finish_reason == "length":
            self.add("thinks first", True, f"used up {tokens_of(reply)} and replied nothing", self._less())
        elif thought is None:
            self.add("thinks first", None, "the answer does not count it")
        else:
            detail = f"{thought:,} of {reply.output_tokens or 0:,} tokens here"
            self.add("thinks first", thought > 0, detail, self._less() if thought else "")
        if not tap.open:
            for question in ("temperature", "seed", "token limit"):
                self.add(question, None, "litellm leaves out what it knows to be refused")
            return
        for question, remedy in (("temperature", f"its own counts; {VARIES}"), ("seed", VARIES)):
            taken = question in tap.sent
            said = tap.refusal_of(question) or "left out: this model takes none"
            self.add(question, taken, "taken" if taken else said, "" if taken else remedy)
        limit = next((name for name in tap.sent if name in ("max_tokens", "max_completion_tokens")), None)
        self.add("token limit", limit is not None, f"as {limit}, {tap.sent[limit]:,} here" if limit else "left out")

    def _less(self) -> str:
        """How a judge has it think less, by what is known of the model."""
        url = self.backend.base_url
        known = traits(self.model, urlsplit(url).hostname if url else None)
        if known.thinks and known.off is not None:
            return "sampling: {thinking: false} in the judge switches it off"
        if known.efforts:
            return f"effort: {known.efforts[0]} in the judge is the least it has"
        return "an effort, or thinking: false, in the judge, where the model has it"

    async def weigh(self) -> None:
        """Log probabilities, and in this process whether a reply is held to the labels."""
        reply = await self.ask(LETTER, temperature=0, max_tokens=1, logprobs=5)
        if isinstance(reply, Completion) and "temperature" in self.tap.sent:
            # some take none only while they think, and here they are asked not to
            quiet = Finding("temperature", "yes", "taken while it does not think")
            refused = [f.question == "temperature" and f.answer == "no" for f in self.examination.findings]
            self.examination.findings = [
                quiet if no else f for f, no in zip(self.examination.findings, refused, strict=True)
            ]
        if isinstance(reply, Exception):
            other = "" if "reads text" in str(reply) else READS_TEXT
            self.add("log probabilities", _is_no(reply), str(reply), other)
        elif not reply.logprobs:
            self.add("log probabilities", False, "none in the answer", READS_TEXT)
        else:
            detail = f"of the {len(reply.logprobs[0].top)} likeliest tokens"
            self.add("log probabilities", bool(reply.logprobs[0].top), detail)
        if self.backend.in_process:
            reply = await self.ask(LETTER, temperature=0, max_tokens=4, choices=["m", "M"])
            held = isinstance(reply, Completion) and reply.text.strip() in ("m", "M")
            detail = reply.text if isinstance(reply, Completion) else str(reply)
            self.add("held to labels", held, f"replied {detail!r}" if held else detail, "" if held else READS_TEXT)

    async def hold(self) -> None:
        """Whether a reply is held to a JSON schema that the question does not mention."""
        before = len(self.tap.refusals)
        reply = await self.ask(NUMBER, temperature=0, max_tokens=64, schema=SCHEMA)
        remedy = "pairwise-reasoned needs none; with pairwise-json a reply may be no JSON"
        if isinstance(reply, Exception):
            self.add("JSON schema", _is_no(reply), str(reply), remedy)
            return
        try:
            kept = json.loads(reply.text).keys() == {"larger"}
        except (ValueError, AttributeError, RecursionError):
            kept = False
        refused = self.tap.refusals[before:]
        detail = (
            "kept" if kept else refused[-1] if refused and refused[-1] else "not kept: the reply is of another form"
        )
        self.add("JSON schema", kept, detail, "" if kept else remedy)

    async def meet(self) -> bool:
        """Whether a model that only decides answers at all; where it does not, what was found before stands."""
        before, self.examination.findings = self.examination.findings, []
        error = await self.decide()
        found, self.examination.findings = self.examination.findings, []
        if error is not None and before:
            self.examination.findings = before
            return False
        if error is not None:
            self._refused(error, ["server", "key", "model", "decisions"])
            return False
        self._let_in()
        self.alone = True
        if before:
            self.add("reply", False, "it decides and writes no text", "the judge pairwise-decision")
        self.examination.findings += found
        return self.examination.is_yes("decisions")

    async def decide(self) -> Exception | None:
        """Whether the model gives decisions; the error where a server gave none."""
        if not isinstance(self.backend, Decider):
            self.add("decisions", False, f"{self.backend.name}/ gives none", READS_TEXT)
            return None
        if not self.tap.left:
            self.add("decisions", None, f"{NOT_ASKED}: the {MOST_CALLS} calls were made")
            return None
        error: Exception
        try:
            self.backend.check_questions(self.model, [IS_TRUE])
            async with asyncio.timeout(self.timeout):
                decision = await self.backend.decide(Request(self.model, CLAIM, questions=(IS_TRUE,)))
        except TimeoutError:
            error = TransientError(f"no answer within {self.timeout:g} s: raise --timeout")
        except (CallError, TransientError, ProviderError, InputError) as failed:
            error = failed
        else:
            self.rates = self.tap.rates() or self.rates
            self.pay(decision)
            try:
                told = f"answered with a probability ({distribution(IS_TRUE, decision)['yes']:.3g})"
                self.add("decisions", True, told)
            except ValueError as why:
                self.add("decisions", False, f"the answer is no decision: {why}", READS_TEXT)
            return None
        self.add("decisions", _is_no(error), str(error), "" if "reads text" in str(error) else READS_TEXT)
        return error

    async def outlast(self, *, ask: bool) -> None:
        """How long the model lives and how much it takes: as its provider says, where `ask`, else by the table."""
        today = datetime.now(UTC).date()
        said = await self.backend.about(self.model) if ask and isinstance(self.backend, Describing) else None
        line = retirement(f"{self.backend.name}/{self.model}", self.backend.base_url)
        about = known_about(said, line) or About()
        if about.shutdown is not None:
            new = f"--model {self.backend.name}/{about.replacement}"
            other = new if about.replacement else "another model in time"
            self.add("lives on", False, about.warning(self.model, today, "a board") or "", other)
        elif about.lifecycle is not None or about.learnt is not None:
            self.add("lives on", about.lifecycle != "retired", f"no end is told ({about.lifecycle or about.learnt})")
        else:
            self.add("lives on", None, "nobody tells its end")
        if about.context is not None:
            reply = f", of a reply {about.most_tokens:,}" if about.most_tokens else ""
            self.add("context", True, f"{about.context:,} tokens{reply}")

    def describe(self) -> None:
        """What is known without a question: what it costs, and how often it may be asked."""
        if self.backend.in_process:
            self.add("price", True, "nothing, it runs in this process")
            return
        table = "yours" if self.price else price_table()
        one = [self.tariff.most(self.model, *tokens) for tokens in ((1000, 0), (0, 1000))]
        if one[0] is None or one[1] is None:
            self.add("price", None, "no list price for this model", "--price IN,OUT; without it --budget is refused")
        else:
            detail = f"${one[0] * 1000:g} in, ${one[1] * 1000:g} out, a million tokens ({table})"
            self.add("price", True, detail)
        if self.rates:
            self.add("rate limits", True, ", ".join(f"{name} {value}" for name, value in self.rates.items()))
        else:
            self.add("rate limits", None, "no header tells them", "--rpm and --tpm, where calls are throttled")

    def serve(self, judge: Judge | None) -> None:
        """Which judges the model can serve, by what was found and by what the backend knows."""
        able = {}
        for one in [*list_judges(), *([judge] if judge else [])]:
            if one.rule is None:
                able[one.name] = self._unserved(one)
        self.examination.judges = [name for name, why in able.items() if why is None]
        self.examination.fit = True
        if judge is not None:
            why = able[judge.name]
            self.add(f"judge {judge.name}", why is None, why or "can be served")
            self.examination.fit = why is None

    def _unserved(self, judge: Judge) -> str | None:
        """Why a judge cannot be served, None where it can."""
        if self.alone and not judge.questions:
            return "it needs a text; use the judge pairwise-decision"
        weighs = judge.verdict is not None and judge.verdict.parser == "token_logprobs"
        if weighs and not self.examination.is_yes("log probabilities"):
            return f"it needs log probabilities; use {READS_TEXT}"
        if judge.questions and not self.examination.is_yes("decisions"):
            return f"it needs decisions; use {READS_TEXT}"
        try:
            check_questions(judge, self.backend, self.model)
            check_scoring(judge, self.backend, self.model)
            self.backend.check(self.model, judge.sampling)
        except InputError as error:
            return str(error)
        return None


def _is_no(error: Exception) -> bool | None:
    """False where a failure answers the question; None where it may pass, or was no call at all."""
    return None if isinstance(error, TransientError) or str(error).startswith(NOT_ASKED) else False
