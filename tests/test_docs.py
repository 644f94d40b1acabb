"""The pages: the site builds without a warning, and what they show to type is typed.

A fenced block of `sh` or `python` runs, in order with the others of its page, in a folder that holds `examples/`. One
that cannot run here says why in the line before it, `<!-- needs: … -->`, by one of the reasons below; its commands are
read by the command line's own parser all the same, so that no page shows an option that there is not.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from simfarm.cli import build_parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NEEDS = {
    "a package registry": "it installs packages",
    "a key": "it asks a provider and costs money",
    "an engine": "it runs a model in this process, of weights that are fetched or the reader's own",
    "a GPU": "it runs a model on one",
    "a server": "it asks a server of the reader's own",
    "a cluster": "it starts Ray",
    "files of yours": "it reads files that only the reader has",
}
SHOWN = {"text", "yaml", "jinja", "bibtex", "{toctree}", "{eval-rst}"}
"""Languages of blocks that are to be read, not typed."""

FENCE = re.compile(
    r"^(?:<!-- needs: (?P<needs>[^\n]+) -->\n)?^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S
)
INDENTED = re.compile(r"^(?:[^\s`].*)?\n\n {4}\S", re.M)


class Block(NamedTuple):
    page: Path
    line: int
    needs: str | None
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text[: found.start()].count("\n") + 1, found["needs"], found["language"], found["text"])
        for found in FENCE.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
UNRUN = [block for block in BLOCKS if block.needs]
RUN = [block for block in BLOCKS if block.language in ("sh", "python") and not block.needs]


def commands_of(script: str) -> list[list[str]]:
    """The commands of a shell script that are simfarm's, as words."""
    commands = []
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = next((i for i, word in enumerate(words) if word in ("&&", "||", "|", ";", ">")), len(words))
            command, words = words[:end], words[end + 1 :]
            while command and re.match(r"[A-Z_]+=", command[0]):
                del command[0]
            if command[:1] == ["simfarm"]:
                commands.append(command[1:])
    return commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_runs_or_says_what_it_needs(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("\n```") + text.startswith("```") == 2 * len(blocks_of(page))
    assert not INDENTED.search(FENCE.sub("", text)), "a block without a fence is seen by nobody"
    for block in blocks_of(page):
        assert block.language in {"sh", "python"} | SHOWN, block.place
        assert block.needs is None or block.needs in NEEDS, block.place


@pytest.mark.parametrize("block", UNRUN, ids=lambda block: f"{block.place} needs {block.needs}")
def test_a_block_that_cannot_run_here_is_understood(block: Block) -> None:
    if block.language == "python":
        compile(block.text, block.place, "exec")
    for words in commands_of(block.text) if block.language == "sh" else []:
        build_parser().parse_args(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_within_sentences_are_understood(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for found in re.finditer(r"`simfarm ([a-z][^`]+)`", text):
        words = shlex.split(found[1])
        if len(words) > 1:
            build_parser().parse_args(words)


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({block.page for block in RUN}), ids=lambda page: page.name)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.name == "plots.md":
        pytest.importorskip("matplotlib")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    command = tmp_path / "bin" / "simfarm"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m simfarm "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in (block for block in RUN if block.page == page):
        if block.language == "python":
            exec(compile(block.text, block.place, "exec"), names)
        else:
            script = ["bash", "-euo", "pipefail", "-c", block.text]
            done = subprocess.run(script, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, f"{block.place}\n{done.stderr[-2000:]}"


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_asks_nobody(tmp_path: Path) -> None:
    for needed in ("sphinx", "furo", "myst_nb", "matplotlib"):
        pytest.importorskip(needed)
    site = tmp_path / "site"
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", tmp_path / "doctrees", "docs", site]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    pages = list(site.rglob("*.html"))
    assert {"index.html", "reference.html", "architecture.html", "choosing_samples.html"} <= {p.name for p in pages}
    assert list((site / "_images").glob("*.png")), "the notebooks were executed"
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<(?:script|img|iframe|source)[^>]*\ssrc=.(?:https?:)?//", text), page
        assert not re.search(r"<link[^>]*\shref=.(?:https?:)?//", text), page


def test_the_pictures_are_of_the_examples_that_ship(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what they say: another release of matplotlib sets the same words elsewhere."""
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from picture import pictures  # type: ignore[import-not-found]

    from simfarm.report.plots import svg

    said = re.compile(r"<text[^>]*>(.*?)</text>", re.S)
    for name, figure in pictures():
        shipped = (ROOT / "docs" / f"{name}.svg").read_text(encoding="utf-8")
        assert said.findall(shipped) == said.findall(svg(figure)), name


def test_the_reference_has_every_public_name() -> None:
    import simfarm

    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\.\. auto(?:function|class|exception):: (\w+)$", text, re.M)) == set(simfarm.__all__)
