"""What a judge is asked to be probed: pairs whose right verdict is known by construction, and the same pair once more
in manners that should change nothing.

Each pair is a comparison like any other, whose `extra` says how its verdict counts: `probe`, `variant` (which language,
which code), `right` (the number of the output that is right, 0 where none is), `manner` (how the judge is asked, empty
for as it is), `pair` (a number that a pair shares with its copies) and `of` (its instruction's number). The output that
is right is output_1 or output_2 by a stable coin, so that no side is right more often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from simfarm.data.cells import stable_digest
from simfarm.data.records import Comparison, Output
from simfarm.judges.probes import damage, orders, persuasion, principles
from simfarm.judges.probes.manners import MANNERS
from simfarm.judges.spec import Judge

__all__ = ["MANNER_TITLES", "NATURAL", "PLACE", "PROBES", "Plan", "Probe", "planned", "probed_outputs", "twin"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What is tried: `kind` is damage, persuasion, orders, opposite (two words for one pair) or twins (made by a
    model), `title` says it to a reader. Where nothing is right (`even`) half is what nobody is fooled by."""

    name: str
    kind: str
    title: str
    even: bool = False


PROBES: Mapping[str, Probe] = {
    probe.name: probe
    for probe in (
        Probe("drop-item", "damage", "an item of a list left out"),
        Probe("change-number", "damage", "a number changed"),
        Probe("truncate", "damage", "cut off half way"),
        Probe("repeat", "damage", "a paragraph said twice"),
        Probe("pad", "damage", "padded with filler"),
        Probe("constant", "damage", "one answer to every question"),
        Probe("flattery", "persuasion", "flatters the reader"),
        Probe("authority", "persuasion", "claims an authority"),
        Probe("identity", "persuasion", "same text, a greater name", even=True),
        Probe("language", "orders", "an order in six languages"),
        Probe("code", "orders", "the order in code or disguise"),
        Probe("forged", "orders", "a forged block of the judge's"),
        Probe("principles", "opposite", "the opposite principle"),
        Probe("contexts", "opposite", "who asks wants the opposite"),
    )
}
"""The probe's name -> what it is."""

PLACE = "place"
MANNER_TITLES: Mapping[str, str] = {
    "order": "the two answers swapped",
    "labels": "other names for the answers",
    "direction": "the names exchanged",
    "paraphrase": "the prompt in other words",
    PLACE: "at another place in the run",
}
"""What should change nothing, to a reader."""

NATURAL = "natural"
"""The probe of a pair of two models' outputs, of which neither is known to be right."""

_WORSE: Mapping[str, Callable[[Output], str | None]] = {
    "drop-item": damage.drop_item,
    "change-number": damage.change_number,
    "truncate": damage.truncate,
    "repeat": damage.repeat,
    "pad": damage.pad,
    "constant": damage.constant,
    "flattery": persuasion.flattery,
    "authority": persuasion.authority,
}


@dataclass(frozen=True)
class Plan:
    """`pairs` to be judged; `judges` by the manner in which some are asked; `not_made`: of how many outputs a probe
    could not be made; `absent`: why a manner is not there; `n` instructions."""

    pairs: tuple[Comparison, ...]
    judges: Mapping[str, Judge]
    not_made: Mapping[str, int]
    absent: Mapping[str, str] = field(default_factory=dict)
    n: int = 0


def planned(outputs: Sequence[Output], judge: Judge, extra: Sequence[Comparison] = ()) -> Plan:
    """Everything that a judge is asked about outputs; `extra` are pairs made elsewhere (`twin`).

    Of several outputs to an instruction the longest is probed: most can be made of it, and one pair an instruction and
    probe keeps pairs independent.
    """
    pairs: list[Comparison] = []
    judges: dict[str, Judge] = {}
    not_made = dict.fromkeys(PROBES, 0)
    asked = _by_instruction(outputs)
    for turn, answers in enumerate(asked):
        output = _longest(answers)
        made = list(_of_output(output, judge, judges, turn)) if output.output.strip() else []
        for name in PROBES.keys() - {pair.extra["probe"] for pair in made}:
            not_made[name] += 1
        natural = _natural(answers)
        made += [] if natural is None else [natural]
        made += [pair for pair in extra if _asked_in(pair) == _asked_in(output)]
        pairs += [replace(pair, extra={**pair.extra, "of": turn}) for pair in made]
    pairs = [replace(pair, extra={**pair.extra, "pair": k}) for k, pair in enumerate(pairs)]
    copies, absent = _copies(_steady(pairs), judge, judges)
    return Plan((*pairs, *copies), judges, not_made, absent, len(asked))


def probed_outputs(outputs: Sequence[Output]) -> list[Output]:
    """The outputs that are probed, one an instruction; empty ones are none."""
    return [output for output in map(_longest, _by_instruction(outputs)) if output.output.strip()]


def _by_instruction(outputs: Sequence[Output]) -> list[list[Output]]:
    made: dict[tuple[str, str | None], list[Output]] = {}
    for output in outputs:
        made.setdefault(_asked_in(output), []).append(output)
    return list(made.values())


def _asked_in(one: Output | Comparison) -> tuple[str, str | None]:
    """What an output answers."""
    return one.instruction.strip(), one.dataset


def _longest(answers: Sequence[Output]) -> Output:
    return max(answers, key=lambda one: len(one.output))


def twin(output: Output, right: str, wrong: str, probe: str, variant: str = "", **more: object) -> Comparison:
    """A pair of which `right` is right; the output itself keeps its generator's name, its twin has the probe's."""
    # the places are a coin's to say
    first = stable_digest("probe", probe, output.instruction, right, wrong)[0] & 1
    own, other = output.generator, f"{output.generator}+{probe}"
    names = (other, own) if wrong == output.output else (own, other)
    texts = (right, wrong)
    one, two = (0, 1) if first else (1, 0)
    return Comparison(
        output.instruction,
        texts[one],
        texts[two],
        names[one],
        names[two],
        output.instruction_id,
        output.dataset,
        output.messages,
        {"probe": probe, "variant": variant, "right": 1 if first else 2, "manner": "", **more},
    )


def _of_output(output: Output, judge: Judge, judges: dict[str, Judge], turn: int) -> Iterator[Comparison]:
    """Every pair that can be made of one output, whose `turn` says which language and code; criteria that the judge is
    given go into `judges`."""
    text = output.output
    for name, make in _WORSE.items():
        worse = make(output)
        if worse is not None and worse != text:
            yield twin(output, text, worse, name)
    greater, lesser = (persuasion.named(output, name) for name in persuasion.NAMES)
    yield twin(output, lesser, greater, "identity")
    for name, (said, variant) in (
        ("language", orders.in_language(output, turn)),
        ("code", orders.in_code(output, turn)),
        ("forged", orders.forged(output, judge, turn)),
    ):
        yield twin(output, text, said, name, variant)
    opposite = principles.principles(output, turn)
    if opposite is not None:
        own = principles.shows_criteria(judge)
        for k, word in enumerate(opposite.words):
            manner = f"principle: {word}" if own else ""
            if own:
                judges.setdefault(manner, principles.by_principle(judge, word))
            # where it has no place among the judge's criteria it stands with the instruction
            asked = output if own else _told(output, word)
            yield _opposite(asked, opposite, k, "principles", manner)
    opposite = principles.contexts(output)
    if opposite is not None:
        for k, word in enumerate(opposite.words):
            yield _opposite(_told(output, word), opposite, k, "contexts", "")


def _told(output: Output, words: str) -> Output:
    """The output to an instruction that says more; a chat says it in its last turn."""
    messages = output.messages
    if messages is not None:
        messages = (*messages[:-1], {**messages[-1], "content": f"{messages[-1]['content']}\n\n{words}"})
    return replace(output, instruction=f"{output.instruction}\n\n{words}", messages=messages)


def _opposite(output: Output, opposite: principles.Opposite, k: int, probe: str, manner: str) -> Comparison:
    """The pair under the k-th of its two words. Its texts stand in the same places under both: only the word differs.

    The instruction may hold the word, so `about` says which pair it is.
    """
    texts = opposite.texts
    said = output.instruction.removesuffix(opposite.words[k])
    about = stable_digest(probe, said, output.dataset, texts)[:8].hex()
    return Comparison(
        output.instruction,
        *texts,
        f"{output.generator}+{probe} 1",
        f"{output.generator}+{probe} 2{_named(manner)}",
        output.instruction_id,
        output.dataset,
        output.messages,
        {"probe": probe, "variant": opposite.variant, "right": k + 1, "manner": manner, "about": about},
    )


def _named(manner: str) -> str:
    """What a recording tells manners apart by: names are shown to no judge."""
    return f" ({manner})" if manner else ""


def _natural(answers: Sequence[Output]) -> Comparison | None:
    """Two models' outputs to one instruction, chosen by a hash; None where there are no two different texts."""
    told = {output.output: output for output in answers}
    if len(told) < 2:
        return None
    one, two = sorted(told.values(), key=lambda o: stable_digest("natural", o.instruction, o.generator, o.sample))[:2]
    return Comparison(
        *(one.instruction, one.output, two.output, one.generator, two.generator, one.instruction_id, one.dataset),
        one.messages,
        {"probe": NATURAL, "variant": "", "right": 0, "manner": ""},
    )


def _steady(pairs: Sequence[Comparison]) -> list[Comparison]:
    """The pairs that are judged in every manner: those of two models where there are any, else one damaged twin an
    instruction."""
    natural = [pair for pair in pairs if pair.extra["probe"] == NATURAL]
    if natural:
        return natural
    damaged: dict[int, list[Comparison]] = {}
    for pair in pairs:
        if PROBES.get(pair.extra["probe"], PROBES["identity"]).kind == "damage":
            damaged.setdefault(pair.extra["of"], []).append(pair)
    return [some[stable_digest("steady", some[0].instruction)[0] % len(some)] for some in damaged.values()]


def _copies(
    steady: Sequence[Comparison], judge: Judge, judges: dict[str, Judge]
) -> tuple[list[Comparison], dict[str, str]]:
    """(the pairs once more in every manner that the judge has; why it has not the others)."""
    made: list[Comparison] = []
    absent = {}
    for name, change in MANNERS.items():
        other = change(judge)
        if isinstance(other, str):
            absent[name] = other
            continue
        judges[name] = other
        made += [_copy(pair, name) for pair in steady]
    # the last first, so that each has other neighbours
    elsewhere = [replace(pair, extra={**pair.extra, "manner": PLACE}) for pair in reversed(steady)]
    return made + elsewhere, absent


def _copy(pair: Comparison, manner: str) -> Comparison:
    return replace(pair, generator_2=f"{pair.generator_2}{_named(manner)}", extra={**pair.extra, "manner": manner})
