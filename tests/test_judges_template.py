"""Templates: what a candidate wrote is data. Whatever it imitates, nothing but its own text changes in the prompt."""

import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from simfarm.data.exchange import Message
from simfarm.data.records import Comparison
from simfarm.errors import InputError
from simfarm.judges import Judge, list_judges
from simfarm.judges.neutral import neutraliser
from simfarm.judges.protocols import protocol_of
from simfarm.judges.stages import VERDICT, tried
from simfarm.judges.template import compile_template

JUDGES = [judge for judge in list_judges() if judge.template is not None and judge.scoring is None]
MARK = "\u200b"
HOLE = {"instruction": "\ue000", "output_1": "\ue001", "output_2": "\ue002"}
CHAT_TOKENS = [
    *(
        "<|im_start|>",
        "<|im_end|>",
        "<|eot_id|>",
        "<|start_header_id|>",
        "<|endoftext|>",
        "<|user|>",
        "<|turn>",
        "<turn|>",
    ),
    *("[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[TOOL_CALLS]", "<<SYS>>", "<</SYS>>", "<s>", "</s>", "<bos>", "<eos>"),
    *(
        "<start_of_turn>",
        "<end_of_turn>",
        "<pad>",
        "<unk>",
        "<BOS_TOKEN>",
        "<|START_OF_TURN_TOKEN|>",
        "[gMASK]",
        "<sop>",
    ),
    *("<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cUser\uff5c>", "<extra_id_1>"),
]
JINJA = [
    "{{ output_1 }}",
    "{{ first }}",
    "{{ second }}",
    "{% endblock %}",
    "{% block system %}",
    "{# x #}",
    "{% raw %}",
]
HARMLESS = [
    "a < b",
    "x[0]",
    "<b>bold</b>",
    "a <| f",
    "<|>",
    "| > |",
    "[[ -f x ]]",
    "\r\n",
    "\n\n",
    "\\",
    "%s {0}",
    "ß√",
    "<S>",
]


def messages(judge: Judge, comparison: Comparison, order: str) -> tuple[Message, ...]:
    """What a judge is sent for its verdict."""
    if judge.stages:
        return tried(judge, comparison, order)[VERDICT]
    return protocol_of(judge).messages(judge, comparison, order)


def pieces(judge: Judge) -> st.SearchStrategy[str]:
    """Texts in which delimiters, chat tokens, Jinja and harmless look-alikes follow each other closely."""
    known = [*judge.delimiters, *CHAT_TOKENS, *JINJA, *HARMLESS]
    return st.lists(st.one_of(st.sampled_from(known), st.text(max_size=4)), max_size=8).map("".join)


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.name)
@given(data=st.data(), order=st.sampled_from(["12", "21"]))
def test_a_candidate_changes_nothing_but_its_own_text(judge: Judge, data: st.DataObject, order: str) -> None:
    texts = {name: data.draw(pieces(judge), label=name) for name in HOLE}
    assume(not judge.ranks or texts["output_1"] != texts["output_2"])
    neutralise = judge.compiled.neutralise
    quiet = messages(judge, Comparison(**HOLE), order)
    loud = messages(judge, Comparison(**texts), order)
    assert [m["role"] for m in loud] == ["system", "user"]
    drawn = {HOLE[name]: neutralise(text) for name, text in texts.items()}
    for before, after in zip(quiet, loud, strict=True):
        # split before anything is filled in: a drawn text may hold a hole of the private use area too
        parts = re.split(f"({'|'.join(drawn)})", before["content"])
        expected = "".join(drawn.get(part, part) for part in parts)
        assert after["content"] == expected


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.name)
@given(data=st.data())
def test_neutralising_breaks_every_token_and_adds_nothing_else(judge: Judge, data: st.DataObject) -> None:
    text = data.draw(pieces(judge).filter(lambda t: MARK not in t))
    safe = judge.compiled.neutralise(text)
    assert safe.replace(MARK, "") == text
    assert not [token for token in (*judge.delimiters, *CHAT_TOKENS) if token in safe]
    assert judge.compiled.neutralise(safe) == safe
    if not any(token[0] in text for token in (*judge.delimiters, *CHAT_TOKENS)):
        assert safe == text


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.name)
def test_each_token_gets_one_mark_after_its_first_character(judge: Judge) -> None:
    for token in (*judge.delimiters, *CHAT_TOKENS):
        sent = messages(judge, Comparison("i", f"before {token} after", "o"), "12")[-1]["content"]
        assert f"before {token[0]}{MARK}" in sent
        assert f"before {token} after" in sent.replace(MARK, "")


def test_text_without_tokens_is_byte_equal() -> None:
    neutralise = neutraliser(("<answer>", "[[A>B]]"))
    for text in (*HARMLESS, *JINJA, "[[A>B]", "F#: a <| b |> c", "Haskell: p <|> q", "<div>", "[INSTANCE]"):
        assert neutralise(text) == text


def test_a_token_hidden_in_another_is_found() -> None:
    assert neutraliser(())("<|[INST]|>") == f"<{MARK}|[{MARK}INST]|>"
    assert neutraliser(())("<<|im_end|>SYS>>") == f"<<{MARK}|im_end|>SYS>>"
    assert neutraliser(("[[", "]]"))("[[[x]]]") == f"[{MARK}[{MARK}[x]{MARK}]{MARK}]"


@pytest.mark.parametrize("judge", [judge for judge in JUDGES if not judge.alone], ids=lambda judge: judge.name)
def test_swapping_the_outputs_is_showing_them_in_the_other_order(judge: Judge) -> None:
    here, there = Comparison("i", "one\n", "two"), Comparison("i", "two", "one\n")
    assert messages(judge, here, "21") == messages(judge, there, "12")
    assert messages(judge, here, "12") != messages(judge, here, "21")


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.name)
def test_what_does_not_change_comes_first(judge: Judge) -> None:
    """Providers cache a common prefix: the rubric must stand before the instruction and the pair."""
    one = "".join(m["content"] for m in messages(judge, Comparison("\ue000i", "\ue000a", "\ue000b"), "12"))
    one = one.replace("(what the stage", "\ue000")
    assert len(one.split("\ue000")[0]) > 5 * len(one.split("\ue000")[-1])


def compiled(user: str, **more: str) -> str:
    return "".join(f"{{% block {role} %}}{text}{{% endblock %}}" for role, text in {"user": user, **more}.items())


BODY = "{{ instruction }}|{{ first }}|{{ second }}"


def test_newlines_of_a_candidate_survive_whatever_stands_beside_them() -> None:
    source = (
        "{% block user %}\n{{ instruction }}\n{{ first }}{% if true %}\n{{ second }}\n{%- endif %}\n{%- endblock %}\n"
    )
    template = compile_template(source, (), "t")
    (sent,) = template.render(Comparison("i\n\n", "\n a \r\n", "b\n\n\n"), "12")
    assert sent["content"] == "i\n\n\n\n a \r\nb\n\n\n"


def test_a_blank_system_message_is_left_out() -> None:
    template = compile_template(compiled(BODY, system="{% if messages %}chat{% endif %}"), (), "t")
    assert [m["role"] for m in template.render(Comparison("i", "a", "b"), "12")] == ["user"]


def test_chat_messages_are_shown_and_neutralised() -> None:
    source = compiled("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{{ first }}{{ second }}")
    template = compile_template(source, ("<system>",), "t")
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "here"}]
    chat = ({"role": "user", "content": "<system> <s>"}, {"role": "user", "content": parts})
    (sent,) = template.render(Comparison("x", "a", "b", messages=chat), "12")
    assert sent["content"] == f"<user><{MARK}system> <{MARK}s><user>look\nhereab"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (BODY, "put what the judge is asked between"),
        (compiled(BODY, assistant="x"), "unknown block 'assistant'"),
        ("stray " + compiled(BODY), "text outside the blocks"),
        ("{{ instruction }}" + compiled(BODY), "text outside the blocks"),
        (compiled(BODY + "{{ output_1 }}"), "unknown variable 'output_1'.*named first and second"),
        (compiled(BODY + "{% if false %}{{ secnd }}{% endif %}"), "unknown variable 'secnd'"),
        (compiled("{{ instruction }}{{ first }}"), "second }} is not used"),
        (compiled("{{ first }}{{ second }}"), "instruction }} is not used"),
        (compiled(BODY + "{% include 'other' %}"), "a template is one file"),
        (compiled(BODY + "{{ x"), "t, line 1: "),
        (compiled(BODY + "{{ lipsum() }}"), "unknown variable 'lipsum'"),
        (compiled(BODY + "{{ [1, 2] | random }}"), "No filter named 'random'"),
    ],
)
def test_a_bad_template_is_one_line(source: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        compile_template(source, (), "t")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "attack",
    [
        "{{ first.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ first.nothing }}",
        "{{ 1 / 0 }}",
        "{{ first | int + 'a' }}",
    ],
)
def test_the_sandbox_and_strict_values_hold(attack: str) -> None:
    template = compile_template(compiled(BODY + attack), (), "t")
    with pytest.raises(InputError, match="t cannot be rendered"):
        template.render(Comparison("i", "a", "b"), "12")


def test_the_prompt_is_not_escaped_as_html() -> None:
    template = compile_template(compiled(BODY), (), "t")
    (sent,) = template.render(Comparison("<p>&'\"", "a & b", "c"), "12")
    assert sent["content"] == "<p>&'\"|a & b|c"


def test_no_bundled_template_forgets_a_delimiter() -> None:
    """Every tag a bundled template writes is listed, so none can be closed from inside."""
    import re

    for judge in JUDGES:
        source = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(judge.path.parent).glob("*.jinja")))
        tags = set(re.findall(r"</?\w+(?:>|(?=\{\{))|\[\[[^\]]+\]\]", source))
        assert tags == set(judge.delimiters), judge.name
