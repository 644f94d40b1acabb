"""Print a script that completes simfarm's verbs and options in your shell.

For bash: simfarm completion bash > ~/.local/share/bash-completion/completions/simfarm; for zsh: simfarm completion zsh
> a folder of your fpath/_simfarm; for tcsh: simfarm completion tcsh > a file that your .tcshrc sources."""

from __future__ import annotations

import argparse

from simfarm.report.terminal import answer

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "tcsh"], help="the shell that is to complete")


def run(arguments: argparse.Namespace) -> int:
    """Print the script; gives the exit status. Raises `InputError` where shtab is not installed."""
    from simfarm.cli.parser import build_parser
    from simfarm.errors import InputError

    try:
        import shtab
    except ImportError as error:
        raise InputError("completion needs shtab (a small package): pip install 'simfarm[completion]'") from error
    answer(shtab.complete(build_parser(overview=False), arguments.shell))
    return 0
