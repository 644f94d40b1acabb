"""Counts are said as people say them, in every message of the package."""

import re
from pathlib import Path

from simfarm.text.words import plural

ROOT = Path(__file__).parents[1] / "simfarm"
NOUNS = (
    "model|instruction|comparison|output|verdict|label|call|answer|annotation|annotator|request|question|sample|pair|"
    "text|tie|likelihood|generator"
)
COUNTED = re.compile(rf"\{{[^{{}}]*\}} (new |more )?(?:{NOUNS})s\b")
SURE = re.compile(
    r"\{(0|MAX|MIN|MOST|N_|TRIES|self\.(n|_most|sampling\.n)\}|usual|"
    r"len\((names|annotators|hashes|boards|values|clusters|proxy|gold|liked|table)|"
    r"(where|reply\.model or self\.model)\} answers)"  # what it does, not how many
)


def test_one_is_one() -> None:
    assert plural(1, "model") == "1 model"
    assert plural(0, "model") == "0 models"
    assert plural(2, "retry", "retries") == "2 retries"
    assert plural(12_345, "verdict") == "12,345 verdicts"


def test_no_message_counts_without_it() -> None:
    """A count straight before a noun in the plural says "1 models" some day; those that are never 1 are named above."""
    odd = [
        f"{path.name}: {match.group()}"
        for path in sorted(ROOT.rglob("*.py"))
        for match in COUNTED.finditer(path.read_text("utf-8"))
        if not SURE.match(match.group())
    ]
    assert odd == []
