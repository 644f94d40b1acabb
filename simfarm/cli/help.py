"""Help at the terminal's width: paragraphs are filled anew, whatever lines the source has them in."""

import argparse
import textwrap

__all__ = ["Paragraphs"]


class Paragraphs(argparse.HelpFormatter):
    """As argparse's own, which would run the paragraphs of a description into one."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = (" ".join(part.split()) for part in text.strip().split("\n\n"))
        return "\n\n".join(textwrap.fill(p, width, initial_indent=indent, subsequent_indent=indent) for p in paragraphs)
