"""Options that several verbs share, spelled once."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

from simfarm.runs.options import JudgeOptions, RunOptions

__all__ = [
    "INPUT_HELP",
    "add_judging",
    "add_model",
    "add_ranking",
    "add_running",
    "judge_options",
    "level",
    "number",
    "price_pair",
    "run_options",
    "setting",
    "whole",
]

INPUT_HELP = ".json, .jsonl, .csv, .parquet (texts also .gz, .zst), a folder, a glob, hf://…, or - for stdin"


def whole(text: str) -> int:
    """A whole number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def number(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def price_pair(text: str) -> tuple[float, float]:
    """`IN,OUT`: dollars a million input and output tokens."""
    try:
        price_in, price_out = (float(part) for part in text.split(","))
    except ValueError:
        price_in = price_out = -1.0
    if not (0 <= price_in < float("inf") and 0 <= price_out < float("inf")):
        raise argparse.ArgumentTypeError(f"{text!r} is not IN,OUT, dollars a million tokens, for example 2.00,8.00")
    return price_in, price_out


def setting(text: str) -> tuple[str, Any]:
    """`NAME=VALUE`; the value is read as JSON where it is such (true, 2, 0.9), else it is the text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        read = json.loads(value)
    except ValueError:
        return name, value
    if isinstance(read, float) and not math.isfinite(read):
        raise argparse.ArgumentTypeError(f"{text!r} is beyond any number")
    return name, read


def level(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.5 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a level from 0.5 to below 1, for example 0.95")
    return value


def add_ranking(parser: argparse.ArgumentParser, *, length: bool = True) -> argparse._ArgumentGroup:
    """What is compared with what, and how: the same for every verb that ranks, those of `length` for the verbs that can
    hold it equal. Gives the group, for more options."""
    parser.add_argument("--baseline", metavar="NAME|FILE", help="the generator that others are compared with")
    board = parser.add_argument_group("board")
    if length:
        board.add_argument(
            "--length-control",
            action="append",
            choices=["joint", "alpaca-eval-2", "none"],
            help="how length is held equal (default joint; may be repeated)",
        )
        board.add_argument(
            "--lc-data", type=Path, metavar="DIR", help="AlpacaEval 2's df_gamed.csv and instruction_difficulty.csv"
        )
    board.add_argument("--level", type=level, default=0.95, metavar="L", help="of the intervals (default 0.95)")
    board.add_argument("--mix-judges", action="store_true", help="accept two judge hashes under one annotator's name")
    board.add_argument("--json", action="store_true", help="everything, for machines")
    return board


def add_judging(parser: argparse.ArgumentParser) -> None:
    """What to ask whom, how hard, and at what price: the same for every verb that may ask a judge."""
    judge = parser.add_argument_group("judge")
    judge.add_argument("--judge", metavar="NAME|FILE", help="a bundled judge or your own (default: the embedded one)")
    add_model(judge)
    judge.add_argument(
        "--order", choices=["both", "hashed", "alpaca-eval", "fixed"], help="which output is shown first"
    )
    judge.add_argument("--repeats", type=whole, default=1, metavar="N", help="ask every question N times (default 1)")
    judge.add_argument("--max-tokens", type=whole, metavar="N", help="in a verdict, instead of the judge's own limit")
    judge.add_argument("--temperature", type=float, metavar="T", help="instead of the judge's own; changes its hash")
    judge.add_argument("--top-p", type=float, metavar="P", help="instead of the judge's own; changes its hash")
    judge.add_argument("--effort", metavar="LEVEL", help="how much the model thinks: none, low, medium, high …")
    data = parser.add_argument_group("data")
    data.add_argument("--limit", type=whole, metavar="N", help="only the first N instructions")
    data.add_argument("--allow-missing", action="store_true", help="compare what matches when instructions differ")
    add_running(parser).add_argument(
        "--retry-unparseable", action="store_true", help="ask again what stayed unparseable three times"
    )


def add_model(group: argparse._ArgumentGroup, *, required: bool = False) -> None:
    """Which model to ask, and where it runs."""
    group.add_argument(
        "--model",
        metavar="SPEC",
        required=required,
        help="openai/…, anthropic/…, litellm/…; on this machine: embedded, FILE.gguf, FOLDER, vllm/HUB-NAME …; or "
        "replay/FILE",
    )
    group.add_argument("--base-url", metavar="URL", help="an OpenAI-compatible server (vLLM, SGLang, llama.cpp …)")
    group.add_argument(
        "--engine-arg",
        dest="engine_args",
        type=setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="for a model on this machine: device=cuda, dtype=bfloat16, tensor_parallel_size=2, adapter=DIR …",
    )


def add_running(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """How hard to ask, and at what price. Gives the group, for more options."""
    run = parser.add_argument_group("run")
    run.add_argument(
        "--concurrency", type=whole, metavar="N", help="calls in flight at most (default 64, local models their own)"
    )
    run.add_argument("--rpm", type=number, metavar="N", help="requests a minute at most")
    run.add_argument("--tpm", type=number, metavar="N", help="tokens a minute at most")
    run.add_argument(
        "--timeout",
        type=number,
        metavar="S",
        help="seconds a server has for a call (default: verdict 120, output 600)",
    )
    run.add_argument("--budget", type=number, metavar="USD", help="stop before this run's new calls could cost more")
    run.add_argument(
        "--price", type=price_pair, metavar="IN,OUT", help="dollars a million tokens, for models unknown to us"
    )
    run.add_argument("--dry-run", action="store_true", help="print requests, tokens and price; ask nothing")
    run.add_argument("--store", type=Path, metavar="FILE", help="where answers are kept (default: your data folder)")
    return run


def judge_options(arguments: argparse.Namespace) -> JudgeOptions:
    """What `add_judging` asked for of the judge."""
    return JudgeOptions(**{field.name: getattr(arguments, field.name) for field in fields(JudgeOptions)})


def run_options(arguments: argparse.Namespace) -> RunOptions:
    """What `add_model` and `add_running` asked for, the model apart."""
    given = {field.name: getattr(arguments, field.name) for field in fields(RunOptions)}
    return RunOptions(**given | {"engine_args": dict(arguments.engine_args)})
