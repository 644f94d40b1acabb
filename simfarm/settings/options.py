"""The table of options, in groups as they belong together; help lists them in this order.

Named tuples, because `simfarm --help` must not wait for dataclasses. Where two groups have an option of one name (the
tokens of a verdict, those of an output), each says what its own verb means by it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from simfarm.settings.kinds import (
    FLIP,
    FLOAT,
    INTEGER,
    LEVEL,
    MARGIN,
    NUMBER,
    PATH,
    PRICE,
    RENAMING,
    SETTING,
    SWITCH,
    TEXT,
    WHOLE,
    Kind,
    one_of,
)

__all__ = [
    "AGREEMENT",
    "BASELINE",
    "BOARD",
    "BRIDGE",
    "BY_NAME",
    "CHOICE",
    "CONVERT",
    "CROWD",
    "CURVE",
    "DATA",
    "DISSECT",
    "EXPLAIN",
    "GENERATED",
    "INPUT",
    "INTERVALS",
    "JUDGE",
    "JUDGING",
    "LENGTH",
    "METHOD",
    "MODEL",
    "PAIR",
    "PROBE",
    "RANKED",
    "RANKING",
    "RETRY",
    "RUN",
    "SAMPLING",
    "Option",
]


class Option(NamedTuple):
    """One option: its keyword in Python, its help on the command line, what it accepts, and its default.

    A `repeated` one is given several times on the command line and as a sequence or mapping in Python. The command line
    has its `flag`, by default the name with dashes.
    """

    name: str
    help: str
    kind: Kind
    metavar: str | None = None
    default: Any = None
    repeated: bool = False
    flag: str = ""

    @property
    def spelling(self) -> str:
        """As the command line has it."""
        return self.flag or f"--{self.name.replace('_', '-')}"


MODEL = (
    Option(
        "model",
        "openai/…, anthropic/…, systemone/…, litellm/…; on this machine: embedded, FILE.gguf, FOLDER, vllm/HUB-NAME …; "
        "or replay/FILE",
        TEXT,
        "SPEC",
    ),
    Option("base_url", "an OpenAI-compatible server (vLLM, SGLang, llama.cpp …)", TEXT, "URL"),
    Option(
        "engine_args",
        "for a model on this machine: device=cuda, dtype=bfloat16, tensor_parallel_size=2, adapter=DIR …",
        SETTING,
        "NAME=VALUE",
        repeated=True,
        flag="--engine-arg",
    ),
)
"""Which model is asked, and where it runs."""

JUDGE = (
    Option("judge", "a bundled judge or your own (default: the embedded one)", TEXT, "NAME|FILE"),
    *MODEL,
    Option("order", "which output is shown first", one_of("both", "hashed", "alpaca-eval", "fixed")),
    Option("repeats", "ask every question N times (default 1)", WHOLE, "N", 1),
    Option("max_tokens", "in a verdict, instead of the judge's own limit", WHOLE, "N"),
    Option("temperature", "instead of the judge's own; changes its hash", FLOAT, "T"),
    Option("top_p", "instead of the judge's own; changes its hash", FLOAT, "P"),
    Option("effort", "how much the model thinks: none, low, medium, high …", TEXT, "LEVEL"),
)
"""Who judges, and how."""

CROWD = (
    Option("annotators", "of a population: simulated people who label each comparison (default 1)", WHOLE, "K", 1),
    Option("soft", "of a population: the crowd's mean preference instead of drawn labels", SWITCH, default=False),
)
"""How many people of a population are asked, and what of."""

PAIR = (
    Option(
        "pair",
        "compare samples of one model with each other: two at random, the best with the worst, or all",
        one_of("random", "best-worst", "all"),
    ),
    Option("score", "--pair best-worst: the column with each sample's score", TEXT, "COLUMN"),
)
"""What samples of one model are compared with."""

DATA = (
    Option("limit", "only the first N instructions", WHOLE, "N"),
    Option("allow_missing", "compare what matches when instructions differ", SWITCH, default=False),
)

INPUT = (
    Option(
        "columns",
        "a column of your files under our name: instruction=question (repeatable)",
        RENAMING,
        "OURS=THEIRS",
        repeated=True,
    ),
)
"""What the columns of input files are called."""

CONVERT = (
    Option(
        "to",
        "the format: simfarm (default), alpaca-eval, arena-hard, mt-bench-pair, mt-bench-single, lmarena, trl, "
        "rewardbench, annotated-pairs",
        TEXT,
        "FORMAT",
        "simfarm",
        flag="--as",
    ),
    Option("annotator", "who judged, in rows that do not say it", TEXT, "NAME"),
    Option("generator", "who answered, in rows that do not say it", TEXT, "NAME"),
)
"""What files are turned into."""

RUN = (
    Option("concurrency", "calls in flight at most (default 64, local models their own)", WHOLE, "N"),
    Option("rpm", "requests a minute at most", NUMBER, "N"),
    Option("tpm", "tokens a minute at most", NUMBER, "N"),
    Option("timeout", "seconds a server has for a call (default: verdict 120, output 600)", NUMBER, "S"),
    Option("budget", "stop before this run's new calls could cost more", NUMBER, "USD"),
    Option("price", "dollars a million tokens, for models unknown to us", PRICE, "IN,OUT"),
    Option("dry_run", "print requests, tokens and price; ask nothing", SWITCH, default=False),
    Option("store", "where answers are kept (default: your data folder)", PATH, "FILE"),
)
"""How hard a server is asked, and at what price."""

RETRY = (Option("retry_unparseable", "ask again what stayed unparseable three times", SWITCH, default=False),)

BASELINE = (Option("baseline", "the generator that others are compared with", TEXT, "NAME|FILE"),)

LENGTH = (
    Option(
        "length_control",
        "how length is held equal (default joint; may be repeated)",
        one_of("joint", "alpaca-eval-2", "none"),
        repeated=True,
    ),
    Option("lc_data", "AlpacaEval 2's df_gamed.csv and instruction_difficulty.csv", PATH, "DIR"),
    Option("panel", "the same judge's verdicts on other models: length is held equal with them", TEXT, "FILE"),
)

INTERVALS = (
    Option("level", "of the intervals (default 0.95)", LEVEL, "L", 0.95),
    Option("mix_judges", "accept two judge hashes under one annotator's name", SWITCH, default=False),
)

RANKED = (
    Option(
        "rank",
        "what is ranked by (default: win rate over the baseline, bradley-terry where there is none)",
        one_of("win-rate", "bradley-terry", "lottery"),
    ),
    Option(
        "control",
        "hold equal too: length, headers, lists, bold, code, markdown, order, or NAME (columns NAME_1, NAME_2)",
        TEXT,
        "NAMES",
    ),
    Option("flip_rate", "the share of verdicts known to be flipped by chance, undone in the win rates", FLIP, "E"),
    Option("tau", "beside the lottery, the Nash winner held near the even mixture by this much", NUMBER, "T"),
    Option("human", "human labels of some of the comparisons: the win rate people would give", TEXT, "FILE"),
)
"""What models are ranked by, and what is held beside it."""

BOARD = (
    Option("breakdown", "win rates by dataset or category too", SWITCH, default=False),
    Option("criteria", "scores by criterion too: their means, or win rates by them", one_of("mean", "win-rate")),
    Option("board", "place the models among a published board's (alpaca-eval-2)", TEXT, "NAME"),
    Option("add_to", "keep the board in files that later models join", PATH, "BOARD"),
)
"""What a board shows beside its rates, and where it is kept."""

BRIDGE = (
    Option("bridge", "carry A's board to B's judge, who has judged a random part of it", SWITCH, default=False),
    Option("hindsight", "B judges in hindsight: which models promise more than is found then", SWITCH, default=False),
)
"""What rejudge makes of two judges' files."""

RANKING = (*BASELINE, *LENGTH, *INTERVALS, *RANKED, *BOARD)
"""Everything that could change how verdicts are ranked."""

AGREEMENT = (
    Option("compat", "agreement, bias and variance as AlpacaEval defines them", one_of("alpaca-eval")),
    Option(
        "own", "the generator a judge is (default: by its name or model)", SETTING, "JUDGE=GENERATOR", repeated=True
    ),
    Option(
        "epsilon",
        "how much worse than a person a judge may be that replaces one (default 0.1: crowd workers; 0.15 skilled "
        "annotators, 0.2 experts)",
        MARGIN,
        "E",
        0.1,
    ),
    Option(
        "jury",
        "the judges together, as one more: majority, mean, weighted (fitted on --human), or a panel's file",
        TEXT,
        "RULE|FILE",
    ),
    Option("signed", "a jury's weights may be negative", SWITCH, default=False),
)
"""What a report card means by agreement, by a judge's own outputs, and by one that may replace a person."""

DISSECT = (
    Option(
        "control",
        "the properties to weigh (default: all that the files tell): length, lists, bold, hedges, numbers, copying …, "
        "markdown, order, generators, or NAME (columns NAME_1, NAME_2)",
        TEXT,
        "NAMES",
    ),
    Option(
        "by",
        "which slices a judge or a model fails on: of a column category (or dataset), or topics of the instructions",
        one_of("category", "instructions"),
    ),
)
"""What preferences are taken apart by."""

EXPLAIN = (
    Option("n", "principles to keep at most (default 5)", WHOLE, "N", 5),
    Option("by", "whose preferences, where the files hold several annotators'", TEXT, "ANNOTATOR"),
)
"""What preferences are explained by."""

PROBE = (
    Option("limit", "only the first N instructions", WHOLE, "N"),
    Option("twins", "a model that makes worse and better twins of the outputs, as further probes", TEXT, "SPEC"),
    Option("along", "in which respect twins differ (default correctness)", TEXT, "RESPECT", repeated=True),
    Option("verdicts", "write every verdict, as annotate does", TEXT, "FILE"),
)
"""What a judge is probed with."""

GENERATED = (
    Option("generator", "the name outputs are filed under (default: the model's)", TEXT, "NAME"),
    Option("system", "a system message before every instruction", TEXT, "TEXT"),
    Option("chat_template", "a Jinja2 chat template instead of the model's own", TEXT, "FILE"),
    Option("thinking", "for models whose chat template can switch it", one_of("on", "off")),
    Option(
        "template_args",
        "for the chat template, as it names it",
        SETTING,
        "NAME=VALUE",
        repeated=True,
        flag="--template-arg",
    ),
)
"""How a model is to be spoken to."""

SAMPLING = (
    Option("n", "answers to each instruction (default 1)", INTEGER, "N", 1),
    Option("temperature", "default 0 (greedy), with --n above 1: 1", FLOAT, "T"),
    Option("top_p", "draw from the most likely tokens of this mass", FLOAT, "P"),
    Option("repetition_penalty", "above 1 against loops", FLOAT, "R"),
    Option("max_tokens", "in an answer at most (default 1024)", INTEGER, "N", 1024),
    Option("effort", "how much a server's model thinks: none, low, medium …", TEXT, "LEVEL"),
    Option("seed", "makes sampled answers repeatable (as far as the engine is)", INTEGER, "S"),
    Option("stop", "end the answer here (repeatable)", TEXT, "TEXT", repeated=True),
)
"""How outputs are drawn; a judge's sampling is its own."""

METHOD = (
    Option(
        "method",
        "best-of-n: the highest score; win-share: preferred to most of its siblings; the others are controls",
        one_of("best-of-n", "win-share", "random", "longest", "oracle"),
    ),
)

CHOICE = (
    Option("n", "only the first N samples of each instruction", WHOLE, "N"),
    Option(
        "by",
        "best-of-n: the score (default judge, against --baseline; likelihood is that of --model)",
        TEXT,
        "judge|likelihood|COLUMN",
    ),
    Option("baseline", "best-of-n by judge: whom every sample is compared with", TEXT, "FILE|NAME"),
    Option("rivals", "win-share: siblings that each sample meets (all)", WHOLE, "K"),
    Option("score", "oracle: the true score", TEXT, "COLUMN"),
    Option("seed", "random: another draw (default 0)", INTEGER, "S"),
    Option("chat_template", "best-of-n by likelihood: the template that the answers were given under", TEXT, "FILE"),
    Option("generator", "of the chosen outputs (default: says how they were chosen)", TEXT, "NAME"),
)
"""How one of n samples is chosen."""

CURVE = (
    Option("gold", "print what choosing by this method's score buys in a true score, for every n", TEXT, "COLUMN"),
    Option("curve", "write that curve: .csv, .json, .md, or .svg, .png, .pdf (gold: the score itself)", TEXT, "FILE"),
    Option("level", "of its intervals (default 0.95)", LEVEL, "L"),
)

JUDGING = (*JUDGE, *CROWD, *DATA, *RUN, *RETRY)
"""Everything that could change which verdicts there are."""

BY_NAME = {
    option.name: option
    for group in (CONVERT, SAMPLING, GENERATED, CURVE, CHOICE, METHOD, PAIR, AGREEMENT, BRIDGE, INPUT, RANKING, JUDGING)
    for option in group
}
"""Every option; of two with one name the judge's."""
