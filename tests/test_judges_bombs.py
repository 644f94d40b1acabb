"""Judge files of strangers: long, deep, many or endless ones are refused in one line, soon, by every verb."""

import time
from pathlib import Path

import pytest

from simfarm.cli import main
from simfarm.data.reading import read_text
from simfarm.errors import InputError
from simfarm.judges import load_judge

RULE = "description: d\nprotocol: pairwise\nrule: longest\n"
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
BOMBS = {
    "aliases in aliases": (RULE + LAUGHS, "aliases"),
    "an alias of itself": (RULE + "criteria: &a [*a]\n", "aliases"),
    "many keys": (RULE + "".join(f"k{n}: 1\n" for n in range(20_000)), "more than 10,000 values"),
    "many values": (RULE + "criteria: [" + "x, " * 20_000 + "x]\n", "more than 10,000 values"),
    "deep lists": (RULE + "criteria: " + "[" * 3_000 + "]" * 3_000 + "\n", "more than 50 one in the other"),
    "deep mappings": (RULE + "criteria: " + "{a: " * 3_000 + "1" + "}" * 3_000 + "\n", "more than 50 one in the other"),
    "deep blocks": (RULE + "criteria:\n" + "".join(" " * n + "-\n" for n in range(1, 900)), "more than 50"),
    "a long number": (RULE + f"criteria: {'9' * 300_000}\n", "number 99999.* is too long"),
    "a number to the base of 60": (RULE + f"criteria: {'9:' * 300_000}9\n", "number 9:9.* is too long"),
    "no date": (RULE + "criteria: 2024-13-45\n", "no date or number"),
    "a long file": (RULE + "#" * 1_000_001, "longer than a template or a judge can be"),
    "a key twice": (RULE + "".join(f"k{n}: 1\n" for n in range(4_900)) + "k1: 2\n", "'k1' is given twice"),
}


@pytest.mark.parametrize(("text", "told"), BOMBS.values(), ids=BOMBS)
def test_a_judge_file_that_is_a_bomb_is_refused(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "judge.yaml"
    path.write_text(text, encoding="utf-8")
    started = time.thread_time()
    with pytest.raises(InputError, match=told) as caught:
        load_judge(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    for verb in ("check", "show"):
        assert main(["judges", verb, str(path)]) == 2
        told_user = capsys.readouterr().err.splitlines()
        assert len(told_user) == 1
        assert str(path) in told_user[0]
    assert time.thread_time() - started < 15


def judge(tmp_path: Path, template: str) -> Path:
    (tmp_path / "judge.yaml").write_text(
        f"description: d\nprotocol: pairwise\ntemplate: {template}\nmodel: openai/x\n"
        "verdict: {parser: label, labels: {A: first, B: second}, delimiters: ['[[', ']]']}\n",
        encoding="utf-8",
    )
    return tmp_path / "judge.yaml"


@pytest.mark.parametrize("verb", ["check", "show"])
@pytest.mark.parametrize(
    "bomb", ["{{ 'a' * 10**9 }}", "{{ first | center(10**9) }}", "{{ '%1000000000d' % 1 }}", "{{ " + "(" * 9000]
)
def test_a_template_bomb_ends_in_one_line(
    verb: str, bomb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "{% block user %}{{ instruction }}{{ first }}{{ second }}" + bomb + "{% endblock %}"
    (tmp_path / "t.jinja").write_text(text, encoding="utf-8")
    status = main(["judges", verb, str(judge(tmp_path, "t.jinja"))])
    told = capsys.readouterr().err.splitlines()
    assert verb == "show" or (status == 2 and len(told) == 1 and "judge.yaml" in told[0])
    assert status in (0, 2)


def test_an_endless_file_is_read_no_further_than_a_judge_is_long(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="longer than a template"):
        load_judge(judge(tmp_path, "/dev/zero"))
    with pytest.raises(InputError, match="no judge '/dev/zero'"):
        load_judge("/dev/zero")
    with pytest.raises(InputError, match="longer than a template"):
        read_text("/dev/zero")
    with pytest.raises(InputError, match="cannot be read"):
        read_text(tmp_path)
