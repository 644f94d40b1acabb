"""What is shown obeys nobody: a terminal, JSON on a terminal, a spreadsheet, a Markdown page; and honest texts stay."""

import json
import time

import pytest
from markdown_it import MarkdownIt

from simfarm.report.terminal import shortened, wrapped
from simfarm.text.harmless import csv_cell, json_text, markdown_cell, one_line, visible

FLAG = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain\ttext\nof lines",
        "می‌خواهم",
        "❤️‍🔥 👩‍👩‍👧 1️⃣ ©️",
        FLAG,
        "Việt Nam vô địch",
        "שָׁל֣וֹם",
        "ภาษาไทยที่นี่",
        "葛󠄀城市",
        "a\\x1bb",
    ],
)
def test_honest_texts_stay_as_they_are(text: str) -> None:
    assert visible(text) == text
    assert one_line(text) == text.replace("\t", "\\t").replace("\n", "\\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\rb\x07\x08\x7f", "a\\rb\\x07\\x08\\x7f"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("\ud83d", "\\ud83d"),
        ("\u2028\ufeff\u2060", "\\u2028\\ufeff\\u2060"),
        ("x\U000e0041\U000e0042", "x\\U000e0041\\U000e0042"),
        ("a\u200b\u200b\u200b\u200b", "a\u200b\u200b\\u200b\\u200b"),
        ("windows\r\nlines", "windows\nlines"),
        ("e" + "\u0301" * 10_000, "e" + "\u0301" * 6 + "…"),
    ],
)
def test_what_a_terminal_obeys_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("name", ["gpt\u200d", "gpt\ufe0f", "gp\u00adt", "gpt\u200b", "gpt\u3164", "gpt\n", "gpt\t"])
def test_two_names_never_look_the_same(name: str) -> None:
    assert "\\" in one_line(name)


def test_a_flood_is_cheap() -> None:
    start = time.process_time()
    for part in ("\u200b", "\u0301", "\U000e0041", "\U0001f3f4\U000e0061", "\x1b", "a\u0301"):
        visible(part * 300_000)
    assert time.process_time() - start < 20


def test_json_for_a_terminal_is_the_same_json() -> None:
    value = {"\x9b\u202e": ["\x7f\ud83d", FLAG, "\x1b]0;x\x07", "é", "line\nbreak"]}
    told = json_text(json.dumps(value, ensure_ascii=False, indent=1))
    assert json.loads(told) == value
    assert "é" in told
    assert not any(character in told for character in "\x9b\u202e\x7f\x1b\x07\ud83d")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "＝1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["a=b", "", -1.5, 3, None])
def test_other_cells_stay(value: object) -> None:
    assert csv_cell(value) == value


NAMES = [
    "a|b",
    "<script>alert(1)</script>",
    "<img src=x onerror=y>",
    "[text](http://evil.example)",
    "![image](http://evil.example/p.png)",
    "<http://evil.example>",
    "http://evil.example",
    "www.evil.example",
    "*loud* _quiet_ ~~gone~~ **bold**",
    "`code`",
    "line\nbreak\r\n| another | row |",
    "back\\|slash",
    "&lt;b&gt; &amp;",
    "# heading",
    "[red]rich[/red]",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_markdown_cell_is_its_text(name: str) -> None:
    """Rendered as a page does, links of bare addresses apart: that takes a plug-in, so their marks are looked for."""
    cell = markdown_cell(name)
    page = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")
    tokens = page.parse(f"| model | rate |\n| --- | --- |\n| {cell} | 50 |\n")
    inline = [token for token in tokens if token.type == "inline"]
    assert len(inline) == 4
    kinds = {child.type for child in inline[2].children or []}
    assert kinds <= {"text", "text_special"}, kinds
    told = "".join(child.content for child in inline[2].children or [])
    assert told == one_line(name)
    assert "http://" not in cell
    assert "www." not in cell
    assert "@e" not in markdown_cell("mail@evil.example")


def test_names_are_cut_in_the_middle() -> None:
    assert shortened("short", 10) == "short"
    assert shortened("organisation/model-step-100", 15) == "organis…tep-100"
    assert shortened("模型" * 10, 11) == "模型…模型"


def test_lines_break_between_words() -> None:
    assert wrapped("one two three", None) == ["one two three"]
    assert wrapped("one two three", 9) == ["one two", "  three"]
    assert wrapped("x" * 20, 10) == ["x" * 8, "  " + "x" * 8, "  " + "x" * 4]
    from rich.cells import cell_len

    assert all(cell_len(line) <= 10 for line in wrapped("模型" * 20, 10))
