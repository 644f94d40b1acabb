"""Help at the terminal's width: paragraphs are filled anew, whatever lines the source has them in."""

import argparse
import textwrap
from collections.abc import Iterable
from typing import Any

__all__ = ["Paragraphs"]


class Paragraphs(argparse.HelpFormatter):
    """As argparse's own, which would run the paragraphs of a description into one; an indented block stays as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = text.strip().split("\n\n")
        return "\n\n".join(block if block.startswith("  ") else self._filled(block, width, indent) for block in blocks)

    def _filled(self, paragraph: str, width: int, indent: str) -> str:
        words = " ".join(paragraph.split())
        return textwrap.fill(words, width, initial_indent=indent, subsequent_indent=indent)

    def _format_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], groups: Iterable[Any], prefix: str | None
    ) -> str:
        """What must be given; thirty options in brackets tell nobody anything, they are listed below."""
        needed = [action for action in actions if action.required or not action.option_strings]
        line = super()._format_usage(usage, needed, [], prefix)
        # an empty prefix is argparse asking for the name of a verb; a usage that was written says all itself
        return line if prefix == "" or usage is not None else line.rstrip("\n") + " [options]\n\n"
