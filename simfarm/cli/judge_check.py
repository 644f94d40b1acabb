"""The answer of `judges check`: what was tried of a judge, or of all members of a population, and what is wrong."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from simfarm.report.terminal import answer, answer_json, width_of

if TYPE_CHECKING:
    from simfarm.judges import Judge

__all__ = ["check_all"]


def check_all(judges: list[Judge], as_json: bool) -> int:
    """Print what was tried of each judge; 2 where one of them is not fit for use, else 0."""
    from dataclasses import asdict
    from datetime import UTC, datetime

    from simfarm.judges.check import check_judge
    from simfarm.report.judges import check_report
    from simfarm.runs.fitness import doubts

    checks = [(judge, check_judge(judge, doubts(judge, datetime.now(UTC).date()))) for judge in judges]
    if as_json:
        facts: list[dict[str, Any]] = []
        for judge, check in checks:
            facts.append({"name": judge.name, "hash": judge.hash, "fit": not check.problems})
            if judge.questions:
                facts[-1]["questions"] = [asdict(question) for question in judge.questions]
            facts[-1] |= asdict(check)
        answer_json(facts[0] if len(facts) == 1 else facts, indent=2)
    else:
        answer("\n\n".join(check_report(judge, check, width_of(sys.stdout)) for judge, check in checks))
    return 2 if any(check.problems for _, check in checks) else 0
