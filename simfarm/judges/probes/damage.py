"""Answers made worse in one way: an item, a number or the end is missing or wrong, or there is more of nothing.

Each maker takes an output and gives its worse twin, or None where the output has nothing to be spoilt that way. The
right verdict is the output itself, whatever it was worth: nothing was gained.
"""

from __future__ import annotations

from simfarm.data.records import Output
from simfarm.judges.probes.pieces import chosen, is_code, items, numbers, paragraphs, sentences

__all__ = ["CONSTANT", "FILLER", "change_number", "constant", "drop_item", "pad", "repeat", "truncate"]

FILLER = (
    "All of this deserves to be considered with care, and in the light of everything that was said above.",
    "It should be kept in mind that there is a great deal more that could be said about a subject of this kind.",
    "As so often, the matter has several sides, and each of them has its own place in the whole.",
    "In the end, what counts is that the question is looked at as a whole and in all of its parts.",
    "It goes without saying that these remarks are meant to be understood in the context in which they were made.",
    "Needless to say, the points that were made above are the points that matter here.",
    "With that being said, it is worth saying once more that the above is to be taken as it stands.",
    "To sum up, what has been said so far is what there is to be said at this point.",
)
"""Sentences that say nothing, whatever they follow."""

CONSTANT = (
    "Thank you for this question. The answer depends on several factors, all of which have to be weighed with care. "
    "First, it is important to understand what is being asked and why it matters. Second, the relevant facts should be "
    "gathered from reliable sources and compared with each other. Third, the advantages and the drawbacks of each "
    "possibility should be listed and discussed. Finally, a conclusion can be drawn that takes all of this into "
    "account. Following these steps leads to a complete, accurate and helpful result in every case, and it makes sure "
    "that nothing of importance is left out. Should anything remain unclear, it is always a good idea to go through "
    "the steps again from the beginning. I hope that this fully answers your question."
)
"""One answer to every question."""

_SHORTEST = 120
"""Characters of an output whose half can be told from the whole."""


def drop_item(output: Output) -> str | None:
    """Without one item of its first list; the numbers after it close up."""
    lines = output.output.split("\n")
    found = items(lines)
    if not found:
        return None
    gone = found[chosen("drop-item", output, len(found))]
    kept = list(lines)
    for item in found:
        if item.number is not None and item.start > gone.start:
            kept[item.start] = kept[item.start].replace(str(item.number), str(item.number - 1), 1)
    return "\n".join(kept[: gone.start] + kept[gone.end :])


def change_number(output: Output) -> str | None:
    """With one number changed in one digit, so that its length and its look stay: of what may be a year the decade."""
    found = numbers(output.output)
    if not found:
        return None
    match = found[chosen("change-number", output, len(found))]
    said = match.group()
    step = 1 + chosen("change-number by", output, 8)
    year = len(said) == 4 and said.isdecimal() and said[0] in "12"
    place = 2 if year else 0
    digit = int(said[place])
    new = (digit + step) % 10 if year else (digit - 1 + step) % 9 + 1
    changed = f"{said[:place]}{new}{said[place + 1 :]}"
    return None if changed == said else output.output[: match.start()] + changed + output.output[match.end() :]


def truncate(output: Output) -> str | None:
    """The first half, ending within a sentence."""
    text = output.output
    if len(text) < _SHORTEST:
        return None
    words = text[: len(text) // 2].rsplit(None, 1)[0].rstrip()
    while words and not words[-1].isalnum():
        words = words[:-1]
    return words or None


def repeat(output: Output) -> str | None:
    """With one of its paragraphs said twice, of a single paragraph one of its sentences."""
    parts = paragraphs(output.output)
    able = [k for k, part in enumerate(parts) if not is_code(part) and len(part) >= 40]
    if len(parts) > 1 and able:
        again = able[chosen("repeat", output, len(able))]
        return "\n\n".join([*parts[: again + 1], *parts[again:]])
    said = sentences(output.output)
    if len(said) < 2:
        return None
    again = chosen("repeat", output, len(said))
    return " ".join([*said[: again + 1], *said[again:]])


def pad(output: Output) -> str:
    """With sentences at its end that say nothing, half as much again."""
    first = chosen("pad", output, len(FILLER))
    said: list[str] = []
    while sum(map(len, said)) < max(200, len(output.output) // 2) and len(said) < len(FILLER):
        said.append(FILLER[(first + len(said)) % len(FILLER)])
    return f"{output.output}\n\n{' '.join(said)}"


def constant(output: Output) -> str | None:
    """Another answer altogether: the one that fits no question and is given to all."""
    return None if output.output.strip() == CONSTANT else CONSTANT
