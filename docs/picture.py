"""Draws `leaderboard.svg`, the board of the recorded verdicts in `examples/`: python docs/picture.py

Written by hand, not by a plotting library, so that the same board is the same file on every machine.
"""

from pathlib import Path
from xml.sax.saxutils import escape

import simfarm

ROOT = Path(__file__).parents[1]
VERDICTS = ROOT / "examples" / "recordings" / "pairwise-letter.jsonl.zst"
LEFT, RIGHT, TOP, STEP = 190, 30, 64, 46
WIDTH = 760
SERIES = (
    ("win rate", "#2f6fab", -7, ("win_rate", "win_rate_low", "win_rate_high")),
    ("length-controlled", "#c4681c", 7, ("length_controlled_winrate", "lc_low", "lc_high")),
)


def x(percent: float) -> float:
    """Pixels from the left of a rate from 0 to 100."""
    return LEFT + (WIDTH - LEFT - RIGHT) * percent / 100


def text(left: float, top: float, words: str, *, anchor: str = "start", colour: str = "#333", size: int = 13) -> str:
    look = f'text-anchor="{anchor}" fill="{colour}" font-size="{size}"'
    return f'<text x="{left:.1f}" y="{top:.1f}" {look}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, *, colour: str, width: float = 1) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" stroke-width="{width:g}"/>'


def picture(verdicts: Path) -> str:
    """The board as SVG: a dot for each rate, a line for its 95 % interval."""
    table = simfarm.evaluate(verdicts)
    models = table[table["model"] != table["baseline"]]
    bottom = TOP + STEP * len(models)
    baseline = models["baseline"].iloc[0]
    parts = [
        text(20, 28, f"Preferred over {baseline}, percent, with 95 % intervals", size=15),
        text(
            20,
            47,
            f"60 instructions of simfarm's examples · judge {models['annotator'].iloc[0]}",
            colour="#666",
            size=12,
        ),
    ]
    for tick in range(0, 101, 25):
        parts.append(line(x(tick), TOP, x(tick), bottom, colour="#888" if tick == 50 else "#ddd"))
        parts.append(text(x(tick), bottom + 18, f"{tick}", anchor="middle", colour="#666", size=12))
    for row, (_, model) in enumerate(models.iterrows()):
        middle = TOP + STEP * (row + 0.5)
        parts.append(text(LEFT - 14, middle + 4, model["model"], anchor="end"))
        for _, colour, shift, (value, low, high) in SERIES:
            parts.append(line(x(model[low]), middle + shift, x(model[high]), middle + shift, colour=colour, width=2.5))
            parts.append(f'<circle cx="{x(model[value]):.1f}" cy="{middle + shift:.1f}" r="5" fill="{colour}"/>')
            parts.append(text(x(model[high]) + 9, middle + shift + 4, f"{model[value]:.1f}", colour=colour, size=12))
    for place, (label, colour, _, _) in enumerate(SERIES):
        left = WIDTH - 270 + 100 * place
        parts.append(f'<circle cx="{left}" cy="43" r="5" fill="{colour}"/>')
        parts.append(text(left + 10, 47, label, colour=colour, size=12))
    height = bottom + 32
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'font-family="system-ui, sans-serif" role="img">',
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff"/>',
            *parts,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    (ROOT / "docs" / "leaderboard.svg").write_text(picture(VERDICTS), encoding="utf-8")
