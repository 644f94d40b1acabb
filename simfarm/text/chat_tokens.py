"""Tokens that chat templates and tokenizers give a meaning, known by their shape: families come faster than lists.

A family writes its control tokens as no ordinary text would: bars inside brackets, a role in capitals between square
ones, words joined by `_` or `:` in angle ones. Shapes need no update for the next family; what has no shape of its own
(`<bos>`, `[PAD]`) goes by its stem. A shape is a regular expression, by a token's first character and what follows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["LOOSE", "STRICT", "shapes"]

STEMS = (
    # ends of texts and turns
    r"bos|eos|bod|eod|eot|eom|eoc|eoh|eoa|sot|sop|eop|soi|eoi|pad|unk|mask|sep|cls|"
    # roles
    r"inst|sys|system|user|assistant|human|bot|ai|observation|role|"
    # what a model does beside answering
    r"think|nothink|thinking|thought|tools?|tool_?calls?|functions?|parameter|args|answer|response|"
    # places and spare tokens
    r"img|image|audio|video|ref|box|quad|unused|ctrl|control|reserved|special|extra|vq|loc|seg|"
    # filling in code
    r"prefix|suffix|middle|reponame|filename"
)
_BAR = r"[|\uff5c\u2502]"
_NO_BAR = r"[^\s<>|\uff5c\u2502]"

STRICT: Mapping[str, tuple[str, ...]] = {
    "<": (
        rf"/?{_BAR}{_NO_BAR}{{1,64}}{_BAR}[\w:]{{0,32}}>",  # <|im_start|>, <｜User｜>, <|DSML|invoke>
        rf"/?{_BAR}{_NO_BAR}{{1,64}}{_BAR}(?=\w)",  # <｜DSML｜invoke name="…">
        rf"/?{_BAR}(?:[\w'’]{{1,16}}[ \u2581]){{1,5}}[\w'’]{{1,16}}{_BAR}>",  # <｜begin of sentence｜>: ▁ is a blank
        r"\|[\w-]{1,64}>",  # <|turn>
        r"[\w-]{1,64}\|>",  # <turn|>
        r"</?SYS>>",
        r"/?(?:start|end|begin)_of_[a-z]{1,16}>",
        r"/?[A-Za-z]{2,16}:(?:bos|eos|think|tool_call|[a-z_]{0,32}budget[a-z_]{0,32})>",
        r"(?:BOS|EOS|PAD|UNK)_TOKEN>",
        r"SPECIAL_\d{1,4}>",
    ),
    "[": (
        r"/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CONTENT|TOOL_CALLS|MODEL_SETTINGS)\]",
        r"(?:EOT|BOS|EOS|[gs]MASK)\]",
        r"\|[a-z_]{2,32}\|\]",  # [|assistant|]
        r"[a-z]~\[",  # [e~[
    ),
    "]": (r"[~!]{1,2}[a-z][~\[\]]", r"<\][\w ]{2,32}\[>\["),  # ]~b], ]~!b[, ]!d~[, ]<]image[>[
}
"""No ordinary text holds these; one that does talks of chat templates, has leaked one, or imitates one."""

LOOSE: Mapping[str, tuple[str, ...]] = {
    "<": (
        rf"/?(?i:{STEMS})[_-]?\d{{0,6}}>",
        r"/?s>",
        r"/?[A-Z]{3,16}>",  # <EOT>, <MID>, <TOOLCALL>
        r"/?[A-Za-z]+\d*(?:[_\u2581][A-Za-z0-9]+)+>",  # <fim_prefix>, <extra_id_0>
        r"/?[a-z]{2,16}:[a-z0-9]+(?:_[a-z]+)*>",  # <minimax:tool_call>, <mask:1>
        r"\[[a-z_]{2,32}\]>",  # <[begin_of_image]>
        r"(?:fim|global|repo|file)-[a-z]{2,12}>",
        r"(?:function|parameter)=[\w.-]{1,64}>",
        r"0x[0-9A-Fa-f]{2}>",
        r"[\u4e00-\u9fff]{1,4}>",  # <用户>
    ),
    "[": (
        rf"/?(?:{STEMS.upper()})\]",
        r"/?[A-Z]+(?:_[A-Z]+)+\]",
        r"(?:unused|control_|extra_id_)\d{1,4}\]",
        r"(?:start|end)_[a-z]{2,16}_id\]",
    ),
}
"""Ordinary text may hold these (a placeholder, an XML example): to be broken where a model reads them, no more."""


def shapes(*kinds: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """The tails of several kinds, joined by their first character."""
    joined: dict[str, list[str]] = {}
    for kind in kinds:
        for first, tails in kind.items():
            joined.setdefault(first, []).extend(tails)
    return joined
