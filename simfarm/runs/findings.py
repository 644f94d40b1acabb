"""What an examination of a model or a machine found, a line each."""

from __future__ import annotations

from dataclasses import dataclass, field

from simfarm.data.exchange import Completion

__all__ = ["Examination", "Finding", "tokens_of"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One question and its answer (yes, no, unknown), what was seen, and what to do about it."""

    question: str
    answer: str
    told: str
    remedy: str = ""


@dataclass(slots=True)
class Examination:
    """All findings. `calls` counts what went over the wire, None where nobody can (litellm, a model in this process);
    `cost` is in US dollars, None where it is unknown; `judges` are the bundled ones that the model can serve; `fit`:
    it can serve what was asked of it, a judge that reads text if nothing was."""

    model: str
    findings: list[Finding] = field(default_factory=list)
    calls: int | None = None
    cost: float | None = 0.0
    judges: list[str] = field(default_factory=list)
    fit: bool = False

    def add(self, question: str, answer: bool | None, detail: str, remedy: str = "") -> None:
        word = "unknown" if answer is None else "yes" if answer else "no"
        self.findings.append(Finding(question, word, detail, remedy))

    def is_yes(self, question: str) -> bool:
        return any(f.question == question and f.answer == "yes" for f in self.findings)


def tokens_of(reply: Completion) -> str:
    """What a reply took, in words."""
    if reply.input_tokens is None or reply.output_tokens is None:
        return "tokens not counted"
    return f"{reply.input_tokens:,} tokens in, {reply.output_tokens:,} out"
