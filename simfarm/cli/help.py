"""Help at the terminal's width: paragraphs are filled anew, whatever lines the source has them in."""

import argparse
import textwrap

__all__ = ["Paragraphs"]


class Paragraphs(argparse.HelpFormatter):
    """As argparse's own, which would run the paragraphs of a description into one; an indented block stays as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = text.strip().split("\n\n")
        return "\n\n".join(block if block.startswith("  ") else self._filled(block, width, indent) for block in blocks)

    def _filled(self, paragraph: str, width: int, indent: str) -> str:
        words = " ".join(paragraph.split())
        return textwrap.fill(words, width, initial_indent=indent, subsequent_indent=indent)
