"""The engine: requests in, answers out, each paid for once, within limits, whatever the network does.

A request passes the store, then any identical request already in flight, then the limits, the budget and the retries;
its completion is committed before anyone sees it. Errors are never stored, so the next run asks again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, cast

from simfarm.backends.base import Backend, Decider, Likely, Scorer, likelihood
from simfarm.backends.http.failures import OutOfFiles, Unreachable
from simfarm.data.decision import Decision
from simfarm.data.exchange import CallError, Completion, Likelihood, Metered, Request, Starved, TransientError
from simfarm.engine.budget import Budget
from simfarm.engine.descriptors import affordable
from simfarm.engine.lifetime import Lifetime
from simfarm.engine.limits import Limits
from simfarm.engine.patience import Patience
from simfarm.engine.prices import Tariff
from simfarm.engine.stats import Stats
from simfarm.engine.store import Answer, Store, request_key
from simfarm.engine.tokens import estimate_tokens, most_output, system_tokens
from simfarm.errors import InputError, ProviderError
from simfarm.text.words import plural

__all__ = ["Engine", "Stats"]

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds before the first retry, doubled each time up to the longest; a random half to whole of it is slept."""

COLD_RETRIES = 3
"""Retries of a call (throttling and overload apart) while nothing was answered yet in this run: a wrong address, a
proxy's page or a server that hangs is then as likely as a moment's trouble."""

ALONE = 20.0
"""Seconds that a run's first call goes ahead alone, at most: what it finds out (a parameter refused, a model that
thinks, no log probabilities) is then found out once, and not by each of those in flight."""

SLOWER = "lower --concurrency or raise --timeout"


def _log(kind: str, line: str) -> None:
    """Where nobody is told, the log has what will not pass by itself."""
    if kind == "note":
        logging.getLogger("simfarm").warning("%s", line)


class Engine:
    """Runs requests on one backend. Use as `async with Engine(...) as engine`.

    `concurrency` is the most calls at a time; `rpm` and `tpm` cap requests and tokens a minute; `budget` is in US
    dollars, or shared; `price` is (input, output) dollars per million tokens, for models without a list price;
    `timeout` is in seconds for one attempt (None: as long as it takes); `retries` counts further attempts at a call
    that failed for a passing reason. `tell` is given what the user must know while it runs, as a kind ("note";
    "waiting" for what passes by itself) and a line; the log has it where there is none. Without a store nothing is
    remembered and nothing shared: that is for recordings, whose answers depend on more than the request's body.
    `close_backend` is False where it is somebody else's; `adds_to` is what the answers are added to, for warnings.
    """

    def __init__(
        self,
        backend: Backend,
        store: Store | None = None,
        *,
        concurrency: int = 64,
        rpm: float | None = None,
        tpm: float | None = None,
        budget: float | Budget | None = None,
        price: tuple[float, float] | None = None,
        timeout: float | None = 120.0,
        retries: int = 8,
        tell: Callable[[str, str], None] | None = None,
        close_backend: bool = True,
        adds_to: str = "this board",
    ) -> None:
        self.backend = backend
        self.concurrency = concurrency
        self._close_backend = close_backend
        self.stats = Stats(budgeted=budget is not None)
        self._store = store
        self._tell = tell or _log
        # a recording and a model in this process refuse nothing that one call could find out for the others
        alone = ALONE if self._over_the_wire else 0.0
        self._limits = Limits(self._affordable(concurrency), rpm, tpm, alone)
        self.patience = Patience(self.stats, self._tell, backend.base_url)
        self.lifetime = Lifetime(backend, self._tell, adds_to)
        self._budget = Budget(budget) if isinstance(budget, int | float) else budget
        self._tariff = Tariff(backend.name, backend.base_url, price)
        self._timeout = timeout
        self._retries = retries
        self._running: dict[bytes, asyncio.Task[Any]] = {}
        self._asked: set[bytes] = set()
        self._random = random.Random()

    async def __aenter__(self) -> Engine:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.patience.close()
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._close_backend:
            await self.backend.close()

    async def complete(self, request: Request) -> tuple[Completion, bool]:
        """The completion of a request, and whether an earlier run had paid for it.

        Raises `CallError` or, after the last retry, `TransientError` (this row's error); `ProviderError`, `BudgetError`
        and `InputError` (the run's end).
        """
        return await self._answer(request, Completion)

    async def decide(self, request: Request) -> tuple[Decision, bool]:
        """The same for a request with questions, of a `Decider`."""
        return await self._answer(request, Decision)

    async def score(self, request: Request) -> tuple[Likelihood, bool]:
        """The same for how likely a request's last message is, of a `Scorer` (`backends.base.likelihood`)."""
        return await self._answer(request, Likelihood)

    async def _answer(self, request: Request, kind: type[Answer]) -> tuple[Answer, bool]:
        if self._store is None:
            return await self._ask(None, request, kind), False
        key = self._key(request)
        task = self._running.get(key)
        if task is None:
            known = self._store.read(key, kind)
            if known is not None:
                earlier = key not in self._asked
                if earlier:
                    self.stats.cached += 1
                else:
                    self.stats.shared += 1
                return known, earlier
            self.stats.damaged += key in self._store.damaged and key not in self._asked
            task = asyncio.ensure_future(self._ask(key, request, kind))
            self._running[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        else:
            self.stats.shared += 1
        # shielded: whoever gives up waiting does not take the answer from the others, nor from the store
        return await asyncio.shield(task), False

    def cached(self, request: Request) -> Completion | Decision | None:
        """The stored answer to a request, None where it would have to be asked. Asks nothing."""
        if self._store is None:
            return None
        key = self._key(request)
        return self._store.read(key, Decision) if request.questions else self._store.get(key)

    def is_free(self, request: Request) -> bool:
        """Whether an answer costs nothing: it is in the store, or there is no store, as for recordings."""
        return self._store is None or self.cached(request) is not None

    @property
    def newly_asked(self) -> frozenset[bytes]:
        """The store's keys of what this run had answered anew."""
        return frozenset(self._asked)

    def price_of(self, answer: Metered) -> float | None:
        """US dollars that an answer cost (when it was made), None where its model or its tokens are unknown."""
        return self._tariff.paid(answer)

    def estimate(self, request: Request) -> tuple[int, int, float | None]:
        """The most a request can use and cost: input tokens, output tokens, US dollars (None: unknown price)."""
        tokens_in, tokens_out = estimate_tokens(request), most_output(request, self.backend.most_tokens(request))
        most = self._tariff.most(request.model, tokens_in, tokens_out, kept=system_tokens(request))
        return tokens_in, tokens_out, most

    def _key(self, request: Request) -> bytes:
        return request_key(self.backend.name, self.backend.base_url, request)

    def _finished(self, key: bytes, task: asyncio.Task[Any]) -> None:
        del self._running[key]
        if not task.cancelled():
            # read, so that an error nobody waits for any more is not reported as lost
            task.exception()

    async def _ask(self, key: bytes | None, request: Request, kind: type[Answer]) -> Answer:
        if self._budget is not None and self.estimate(request)[2] is None:
            raise InputError(f"--budget: the price of {request.model} is unknown at this address; add --price IN,OUT")
        await self.lifetime.read(request.model)
        mark, paid = object(), list[Completion]()
        attempt = failures = 0
        gone: TransientError | None = None
        while True:
            try:
                if gone is None:
                    return await self._attempt(key, request, kind, paid)
                answer = await self.patience.outlast(gone, lambda: self._attempt(key, request, kind, paid, knock=True))
                if answer is not None:
                    return answer
                gone = None
            except CallError as error:
                self._limits.lead_over()
                await self.patience.refusal(error)
                self.stats.errors["refused"] += 1
                raise
            except Starved as error:
                paid.append(error.paid)
                gone = None
            except TransientError as error:
                failures += not (error.throttled or error.overloaded or isinstance(error, OutOfFiles))
                self._limits.pause(self.patience.heed(error, self.backend.name))
                cold = not self.stats.asked and failures > COLD_RETRIES
                if cold and (isinstance(error, Unreachable) or not self.stats.cached):
                    raise self.patience.silent(error) from None
                gone = error if self.patience.gone(error, mark, self._limits.most) else None
                if gone is not None:
                    continue
                if cold or attempt == self._retries:
                    self.stats.errors["gave up"] += 1
                    raise
                await self._back_off(error, attempt)
                attempt += 1

    async def _attempt(
        self, key: bytes | None, request: Request, kind: type[Answer], paid: Sequence[Completion], knock: bool = False
    ) -> Answer:
        """One call, inside the limits and the budget. A failed call reports no tokens and so counts as free, but one
        whose time was up was worked on, and may be billed. What was `paid` for in vain before it is the answer's cost.

        The answer is committed before its place is given to the next call, so that a kill loses no more than
        `concurrency` answers.
        """
        tokens = sum(self.estimate(request)[:2])
        entered = await self._limits.enter(tokens, knock)
        used, cost, most, reserved = 0, 0.0, 0.0, False
        try:
            await self.patience.gate(knock)
            if self._store is not None:
                await self._store.ready()
            # only here: that a model thinks is learnt while others wait
            most = self.estimate(request)[2] or 0.0
            if self._budget is not None:
                await self._budget.reserve(most)
                reserved = True
            with self.patience.flight():
                fresh = await self._call(request, kind, entered)
                self._limits.lead_over()
                answer = fresh.after(paid) if isinstance(fresh, Completion) else fresh
                if key is not None and self._store is not None:
                    self._asked.add(key)
                    await self._store.put(key, answer)
                self._limits.succeeded()
                self.patience.answered()
                self.stats.asked += 1
                used, cost = self._count(fresh, most)
            return answer
        except Starved as error:
            self.patience.answered()
            used, cost = self._count(error.paid, most)
            raise
        except TransientError as error:
            if error.slow and most:
                self.stats.timed_out += 1
                self.stats.unsure += most
                cost = most
            raise
        finally:
            if reserved and self._budget is not None:
                self._budget.settle(most, cost)
            self._limits.used(tokens, used)
            self._limits.leave()

    async def _call(self, request: Request, kind: type[Answer], entered: float) -> Answer:
        """The backend's answer; what a failure says of the pace and of the run is taken from it here."""
        try:
            async with asyncio.timeout(self._timeout):
                answer: Any = await self._sent(request, kind)
            # a model in this process has no reader of its own that doubts what it says (log probabilities that are NaN)
            return kind.from_json(answer.to_json()) if self.backend.in_process else answer
        except TimeoutError:
            self._limits.slowed(entered)
            raise TransientError(f"no answer within {self._timeout:g} s: {SLOWER}", slow=True) from None
        except ProviderError as error:
            # the calls still waiting for their turn would be refused as well
            self.patience.refused = error
            raise
        except OutOfFiles as error:
            if self._limits.lower():
                self._tell("note", f"{error}: {plural(self._limits.most, 'call')} at a time from here on")
            raise
        except TransientError as error:
            self.stats.throttled += error.throttled or error.overloaded
            if error.throttled:
                self.patience.answered()
                self._limits.throttled(entered)
            elif error.overloaded:
                self._limits.overloaded(entered)
            elif error.slow:
                self._limits.slowed(entered)
            raise

    def _sent(self, request: Request, kind: type[Answer]) -> Coroutine[Any, Any, Any]:
        """The backend's own call for a kind of answer."""
        if kind is Likelihood:
            return likelihood(cast("Scorer | Likely", self.backend), request)
        return cast("Decider", self.backend).decide(request) if kind is Decision else self.backend.complete(request)

    @property
    def _over_the_wire(self) -> bool:
        return not self.backend.in_process and self.backend.name != "replay"

    def _affordable(self, concurrency: int) -> int:
        """The calls at a time that this process can open connections for; said where they are fewer than wanted."""
        if not self._over_the_wire:
            return concurrency
        possible, files = affordable(concurrency)
        if possible < concurrency:
            why = f"a process may open {files} files (ulimit -n)"
            self._tell("note", f"{plural(possible, 'call')} at a time, not {concurrency}: {why}")
        return possible

    def _count(self, answer: Metered, most: float) -> tuple[int, float]:
        """Adds what was paid for to the statistics. Its tokens, and what the budget loses (the most where unpriced)."""
        stats = self.stats
        if stats.since is None:
            stats.since = time.perf_counter() - (answer.seconds or 0.0)
        tokens_in, tokens_out = answer.input_tokens or 0, answer.output_tokens or 0
        stats.input_tokens += tokens_in
        stats.output_tokens += tokens_out
        if answer.model is not None:
            stats.models[answer.model] += 1
        cost = self.price_of(answer)
        if cost is None:
            stats.unpriced += 1
            return tokens_in + tokens_out, most
        stats.cost += cost
        return tokens_in + tokens_out, cost

    async def _back_off(self, error: TransientError, attempt: int) -> None:
        self.stats.retries += 1
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt) * self._random.uniform(0.5, 1.0)
        wait = max(wait, error.retry_after or 0.0)
        if error.throttled or error.overloaded:
            await self.patience.wait(wait)
        else:
            await asyncio.sleep(wait)
