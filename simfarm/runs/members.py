"""The members of a population as they are asked: which models they need, opened once, and an engine over each.

Members that share a provider share its client, its pace and its concurrency; all share the store and the budget.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from simfarm.backends import usual_timeout
from simfarm.backends.base import Backend
from simfarm.engine.budget import Budget
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store, default_store_path
from simfarm.engine.stored import remember
from simfarm.errors import InputError
from simfarm.judges import Judge, Population
from simfarm.runs.annotation import with_model
from simfarm.runs.asking import Member
from simfarm.runs.options import JudgeOptions, RunOptions, by_name
from simfarm.runs.run import OpenModel
from simfarm.settings import refuse, refuse_unasked, spelled

__all__ = ["check_people", "opened_members", "seated"]

SHARED = ("openai", "anthropic", "systemone")
"""Backends that serve every model of their provider: one client, and one pace, for all of them."""


def check_people(people: Population, judging: JudgeOptions) -> None:
    """Raise `InputError` for more people than there are, and for the mean of several."""
    n, wanted = people.people, judging.annotators
    if judging.soft:
        refuse({"annotators": wanted}, f"with {spelled('soft')}, which gives one mean for each comparison")
    if n is not None and wanted > n:
        more = "raise n of its persons" if people.crowd else "add members"
        raise InputError(
            f"{spelled('annotators', str(wanted))} asks for more people than the population {people.name!r} has, which "
            f"are {n}; {more}, or ask for fewer"
        )


def opened_members(
    people: Population, judging: JudgeOptions, running: RunOptions
) -> tuple[list[Judge], list[OpenModel | None]]:
    """(each member's judge as its model takes it, that model; None for a rule). Raises `InputError`."""
    if all(member.judge.rule for member in people.members):
        given = by_name(judging) | by_name(running)
        own = ("judge", "order", "annotators", "soft")
        refuse_unasked({name: value for name, value in given.items() if name not in own}, people.name)
    known: dict[str, OpenModel] = {}
    specs = [judging.model or member.judge.model for member in people.members if member.judge.rule is None]
    slowest = max((usual_timeout(spec) for spec in specs if spec), default=0.0)

    def opening(spec: str | Backend, options: RunOptions, usual: float) -> OpenModel:
        if not isinstance(spec, str):
            return OpenModel.of(spec, options, slowest)
        prefix, _, name = spec.partition("/")
        key = prefix if prefix in SHARED else spec
        if key not in known:
            known[key] = OpenModel.of(spec, options, max(usual, slowest))
        return replace(known[key], name=name, spec=spec) if prefix in SHARED else known[key]

    judges: list[Judge] = []
    models: list[OpenModel | None] = []
    for member in people.members:
        judge, model = member.judge, None
        if judge.rule is None:
            try:
                judge, model = with_model(judge, judging, running, opening)
            except InputError as error:
                raise InputError(f"{people.name}, member {member.name}: {error}") from error
        judges.append(judge)
        models.append(model)
    return judges, models


@asynccontextmanager
async def seated(
    people: Population,
    models: Sequence[OpenModel | None],
    options: RunOptions,
    tell: Callable[[str, str], None] | None,
    asker: str,
) -> AsyncIterator[tuple[list[Member], list[Engine]]]:
    """(the members as they are asked, in the population's order; the engines that ask), all closed at the end. The caps
    on calls, requests and tokens are those of all servers together; `asker` is written beside what they answer."""
    unlike = {id(model.backend): model for model in models if model is not None}
    servers = sum(not model.backend.in_process for model in unlike.values()) or 1
    path = options.store or default_store_path()
    budget = None if options.budget is None else Budget(options.budget)
    async with AsyncExitStack() as stack:
        store = None
        if any(model.recorded is None for model in unlike.values()):
            store = Store(path)
            stack.callback(store.close)
        engines: dict[int, Engine] = {}
        for which, model in unlike.items():
            own = model.options.shared_by(servers)
            engine = Engine(
                model.backend,
                None if model.recorded else store,
                concurrency=max(1, (own.concurrency or model.backend.concurrency) // servers),
                rpm=own.rpm,
                tpm=own.tpm,
                budget=None if model.backend.in_process else budget,
                price=own.price,
                timeout=own.timeout,
                tell=tell,
                close_backend=model.owned,
                adds_to="these labels",
            )
            engines[which] = await stack.enter_async_context(engine)
        try:
            yield (
                [
                    Member(member.judge, model.name, engines[id(model.backend)]) if model else Member(member.judge)
                    for member, model in zip(people.members, models, strict=True)
                ],
                list(engines.values()),
            )
        finally:
            if store is not None:
                for engine in engines.values():
                    remember(path, engine.newly_asked, asker)
