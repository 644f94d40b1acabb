"""The texts that a judge was shown, out of its prompt: files of judgments hold prompts and no outputs.

The templates of MT-bench (`llm_judge/data/judge_prompts.jsonl` of lm-sys/FastChat) and of Arena-Hard (`config/*.yaml`
of lmarena/arena-hard-auto) are known. A mark that stands twice may have been written by a model: then nothing is taken.
"""

from __future__ import annotations

from simfarm.data.formats.chats import Turn

__all__ = ["shown", "shown_pair"]


def _between(text: str, start: str, end: str) -> str | None:
    if text.count(start) != 1 or text.count(end) != 1:
        return None
    at = text.index(start) + len(start)
    return text[at : text.index(end)] if text.index(end) >= at else None


def _turns(text: str, who: str) -> list[Turn] | None:
    """Two questions and answers under their headings."""
    marks = ("### User:\n", f"\n\n### {who}:\n", "\n\n### User:\n", f"\n\n### {who}:\n")
    turns: list[Turn] = []
    rest = text
    if text.count(f"### {who}:\n") != 2 or text.count("### User:\n") != 2:
        return None
    for place, mark in enumerate(marks):
        _, found, rest = rest.partition(mark)
        if not found:
            return None
        following = marks[place + 1] if place + 1 < len(marks) else None
        content = rest.partition(following)[0] if following else rest
        turns.append({"role": "assistant" if place % 2 else "user", "content": content})
    return turns


def _of(prompt: str, who: str) -> list[Turn] | None:
    """The conversation of one assistant."""
    told = f"{who}'s Conversation with User|>"
    several = _between(prompt, f"<|The Start of {told}\n\n", f"\n\n<|The End of {told}")
    if several is not None:
        return _turns(several, who)
    for left, right in (("[", "]"), ("<|", "|>")):
        start, end = f"{left}The Start of {who}'s Answer{right}\n", f"\n{left}The End of {who}'s Answer{right}"
        given = _between(prompt, start, end)
        heading = next((h for h in ("<|User Prompt|>\n", "[User Question]\n", "[Question]\n") if h in prompt), None)
        if given is None or heading is None or prompt.count(heading) != 1:
            continue
        question = prompt.partition(heading)[2]
        marks = (f"\n\n{left}The Start of Reference Answer", f"\n\n{left}The Start of Assistant")
        question = question[: min(question.find(mark) for mark in marks if mark in question)]
        return [{"role": "user", "content": question}, {"role": "assistant", "content": given}]
    return None


def shown(prompt: object) -> list[Turn] | None:
    """The one conversation that a judge was to grade; None where its prompt is of no known template."""
    if not isinstance(prompt, str):
        return None
    return _of(prompt, "Assistant") or _of(prompt, "Assistant A")


def shown_pair(prompt: object) -> tuple[list[Turn], list[Turn]] | None:
    """The conversations of assistants A and B."""
    if not isinstance(prompt, str):
        return None
    a, b = _of(prompt, "Assistant A"), _of(prompt, "Assistant B")
    return (a, b) if a is not None and b is not None else None
