"""What a run of judges of several calls would ask: the first stage exactly, what comes after it at most.

What a later stage is asked hangs on replies that nobody has given yet; where these are in the store it is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from simfarm.data.exchange import Completion, Request
from simfarm.engine.prices import at_most
from simfarm.engine.runner import Engine
from simfarm.engine.tokens import most_output
from simfarm.judges.stages import VERDICT, Turn, told_to, turns, unusable
from simfarm.runs.asking import MAX_ATTEMPTS, Call, is_cut_off, next_request, reply_of, request_for
from simfarm.runs.forecast import forecast
from simfarm.runs.staged import Texts, last_calls, said_after, turn_keys, turn_request
from simfarm.text.words import named, plural

__all__ = ["Outlook", "longest_reply", "most", "outlook", "staged_forecast"]


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A request that a run would make, as it is where the answers before it are known (`sure`), else as long as it can
    be at most; None where nothing is asked. `key` is the same for equal ones, and None for one of a call alone."""

    request: Request | None
    key: bytes | None
    sure: bool
    stage: str


def _ahead(call: Call, engine: Engine, retry_unparseable: bool) -> Iterator[_Ahead]:
    """What a run would ask about a call, given the answers in the store."""
    stages = call.member.judge.stages
    keys = {turn.step: key for turn, key in turn_keys(call)}
    texts: Texts = {}
    sure = True
    for group in turns(stages):
        replies = []
        for turn in group:
            request, text = _next_turn(call, turn, engine, texts, retry_unparseable) if sure else (None, None)
            if text is None and request is None and sure:
                # it ends here, unparseable: nothing is asked again by itself
                yield _Ahead(None, keys[turn.step], True, turn.stage.name)
                return
            if text is None:
                request = request or turn_request(call, turn, texts)
                yield _Ahead(request, keys[turn.step], sure, turn.stage.name)
                text = longest_reply(request, engine)
            else:
                yield _Ahead(None, keys[turn.step], True, turn.stage.name)
            replies.append((text, request))
        sure = sure and all(request is None for _, request in replies)
        texts |= said_after(texts, group, [text for text, _ in replies])
    if sure:
        for one in last_calls(call, texts)[0]:
            yield _Ahead(next_request(one, retry_unparseable), None, True, VERDICT)
        return
    assert call.order is not None
    last = replace(call, told=told_to(stages, texts, "", call.order), step=len(keys))
    for _ in range(stages[-1].contexts or 1):
        yield _Ahead(request_for(last), None, False, VERDICT)


def longest_reply(request: Request, engine: Engine) -> str:
    """A text as long as the reply to a request can be, by the estimate of tokens; what is thought is not told."""
    room = request.sampling.get("max_tokens") or most_output(request, engine.backend.most_tokens(request))
    return "x" * (3 * room)


def _next_turn(
    call: Call, turn: Turn, engine: Engine, texts: Texts, retry_unparseable: bool
) -> tuple[Request | None, str | None]:
    """(what a turn would ask, None for nothing; the reply that is known and can be gone on with)."""
    attempt = 0
    while attempt < MAX_ATTEMPTS or retry_unparseable:
        request = turn_request(call, turn, texts, attempt)
        known = engine.cached(request)
        if not isinstance(known, Completion):
            return request, None
        reply = reply_of(known)
        if unusable(turn.stage, reply) is None:
            return None, reply.text
        if is_cut_off(known) and not retry_unparseable:
            break
        attempt += 1
    return None, None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a run of such judges would ask: `now` exactly, and once that is answered at most `later`, of these `stages`;
    `known` answers are in the store."""

    now: list[Request]
    later: list[Request]
    stages: list[str]
    known: int

    def then(self, engine: Engine) -> list[str]:
        """What comes after the first requests, in words; nothing where nothing does."""
        if not self.later:
            return []
        uses = [engine.estimate(request) for request in self.later]
        n_in, n_out = sum(use[0] for use in uses), sum(use[1] for use in uses)
        priced = "" if engine.backend.in_process else f", price {most([use[2] for use in uses])}"
        which = f"{'stage' if len(self.stages) == 1 else 'stages'} {named(self.stages)}"
        return [
            f"then at most {plural(len(uses), 'request')} of the {which}{priced}; at most about {n_in:,} input and "
            f"{n_out:,} output tokens"
        ]


def most(prices: Sequence[float | None]) -> str:
    """What requests cost at most together, in words."""
    return "unknown" if None in prices else f"at most {at_most(sum(price or 0.0 for price in prices))}"


def outlook(calls: Iterable[Call], engine: Engine, retry_unparseable: bool) -> Outlook:
    """What such calls would ask, given the answers in the store: each request once, whoever shares it."""
    seen: set[bytes] = set()
    found = Outlook([], [], [], 0)
    known = 0
    for call in calls:
        for one in _ahead(call, engine, retry_unparseable):
            if one.key in seen:
                continue
            seen |= set() if one.key is None else {one.key}
            if one.request is None:
                known += 1
                continue
            (found.now if one.sure else found.later).append(one.request)
            if not one.sure and one.stage not in found.stages:
                found.stages.append(one.stage)
    return replace(found, known=known)


def staged_forecast(engine: Engine, calls: Iterable[Call], retry_unparseable: bool) -> str:
    """What a run of such a judge would ask and cost: what it can ask at once exactly, the stages after that at most."""
    ahead = outlook(calls, engine, retry_unparseable)
    lines = [forecast(engine, ahead.now, ahead.known), *ahead.then(engine)]
    if ahead.later and not engine.backend.in_process:
        prices = [engine.estimate(request)[2] for request in [*ahead.now, *ahead.later]]
        lines.append(f"all in all {most(prices)}")
    return "\n".join(lines)
