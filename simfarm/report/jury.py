"""A panel of recorded judges as people read it: its verdicts beside the best member's, and what it cost in doubt."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from simfarm.agreement.jury import Sitting
from simfarm.data.juries import RULES, JuryRule
from simfarm.errors import InputError
from simfarm.report.tables import Part
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.agreement.card import ReportCard

__all__ = ["jury_named", "jury_part"]

_ROWS = 20


def jury_named(value: str | None, *, signed: bool = False) -> JuryRule | None:
    """What `--jury RULE|FILE` stands for; None for nothing. Raises `InputError` for a word that is neither, and for
    `signed` where no weights are fitted."""
    if value is None:
        if signed:
            raise InputError("--signed goes with --jury weighted, whose weights it lets be negative; leave it out")
        return None
    rule = next((known for known in RULES if known == value), None)
    if rule is not None:
        if signed and rule != "weighted":
            raise InputError(f"--signed goes with --jury weighted: {rule} has no weights; leave it out")
        return JuryRule(rule, rule, signed=signed)
    if signed:
        raise InputError(f"--signed goes with --jury weighted, which fits weights: {value} has its own; leave it out")
    if value == "debate":
        raise InputError(
            "--jury debate: recorded verdicts cannot debate; take majority, mean or weighted, or have a panel with "
            "rule: debate asked (simfarm annotate --judge FILE)"
        )
    if not Path(value).exists():
        raise InputError(f"--jury {value!r} is neither {', '.join(RULES)} nor a panel's file; name one of these")
    from simfarm.judges import load_panel

    return load_panel(value).recorded


def jury_part(card: ReportCard) -> list[Part]:
    """The panel, its members by agreement, and how much better or worse it is than the best of them."""
    sat = card.jury
    if sat is None:
        return []
    agreements = {row.name: row.get("agreement") for row in card.judges}
    by_agreement = sorted(sat.members, key=lambda name: -(a.value if (a := agreements[name]) else -1.0))
    rows = []
    for name in (sat.name, *by_agreement[:_ROWS]):
        found = agreements[name]
        weight = [] if sat.weights is None else [f"{sat.weights[name]:.2f}" if name in sat.weights else ""]
        known = [] if sat.best is None else ["–" if found is None else f"{100 * found.value:.1f}"]
        rows.append([name if name == sat.name else f"  {name}", *known, *weight])
    headings = ["panel and members", *([] if sat.best is None else ["with people"])]
    headings += [] if sat.weights is None else ["weight"]
    title = f"{plural(len(sat.members), 'judge')} together, by {sat.rule}"
    hidden = len(by_agreement) - _ROWS
    more = [f"{plural(hidden, 'more member')}: --json has all"] if hidden > 0 else []
    return [Part(title, headings, rows, [*more, *_remarks(card, sat)], ("weight",))]


def _remarks(card: ReportCard, sat: Sitting) -> list[str]:
    lines = []
    if sat.gap is None:
        lines.append("which member is best is not known without labels (--human)")
    else:
        low, high = sat.gap.interval(card.level)
        gap, least, most = (f"{100 * x:+.1f}".replace("-", "−") for x in (sat.gap.value, low, high))
        lines.append(f"beside its best member ({sat.best}, chosen on these labels): {gap} points ({least} to {most})")
    if sat.rule == "weighted" and sat.gap is not None and card.people:
        lines.append("weights are by people's labels; each verdict by those that saw none of its instruction")
    if card.panel is not None and not math.isnan(card.panel.value):
        of = "errors" if card.people else "verdicts"
        lines.append(
            f"correlation of their {of} {card.panel.correlation.value:.2f}: worth {card.panel.value:.2f} independent "
            f"judges of {card.panel.n}"
        )
    lines.append(
        f"strength {sat.strength.value:.2f} (0 split evenly, 1 all of one mind), entropy {sat.entropy.value:.2f} bits; "
        f"{sat.abstained:,} of {plural(sat.asked, 'verdict')} missing"
        + (f", {plural(sat.undecided, 'comparison')} without half of the members" if sat.undecided else "")
    )
    return lines
