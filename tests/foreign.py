"""Small files of others' formats, each as its tool writes it today, of texts of our own."""

import json
import zipfile
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]


def user(text: str) -> Row:
    return {"role": "user", "content": text}


def assistant(text: str) -> Row:
    return {"role": "assistant", "content": text}


def arena_prompt(question: str, a: str, b: str) -> str:
    return (
        f"<|User Prompt|>\n{question}\n\n"
        f"<|The Start of Assistant A's Answer|>\n{a}\n<|The End of Assistant A's Answer|>\n\n"
        f"<|The Start of Assistant B's Answer|>\n{b}\n<|The End of Assistant B's Answer|>"
    )


def arena_game(score: str | None, question: str, a: str, b: str) -> Row:
    prompt = [{"role": "system", "content": "Judge."}, user(arena_prompt(question, a, b))]
    return {"score": score, "judgment": {"answer": f"My verdict: [[{score}]]"}, "prompt": prompt}


def arena_hard() -> list[Row]:
    scores = [("A>>B", "B>A"), ("A=B", "A=B"), ("B>A", None), ("B<A", "A>>B"), ("A>C", "A>B")]
    return [
        {
            "uid": f"u{i}",
            "category": "hard_prompt",
            "dataset": "arena-hard-v2.0",
            "judge": "gpt-4.1",
            "model": "new-model",
            "baseline": "o3-mini",
            "games": [
                arena_game(first, f"Question {i}?", f"Base {i}", f"New {i}"),
                arena_game(second, f"Question {i}?", f"New {i}", f"Base {i}"),
            ],
        }
        for i, (first, second) in enumerate(scores)
    ] + [{"uid": "lost", "judge": "gpt-4.1", "model": "new-model", "baseline": "o3-mini", "games": [None, None]}]


def arena_hard_first() -> list[Row]:
    """Its first version: neither judge nor baseline."""
    games = [
        {"user_prompt": "custom", "judgment": "\n[[A>B]]", "score": "A>B"},
        {"user_prompt": "custom", "judgment": "?", "score": None},
    ]
    return [{"question_id": "q1", "model": "gpt-3.5-turbo-0125", "games": games}]


def pair_prompt(question: str, a: str, b: str) -> str:
    return (
        f"[User Question]\n{question}\n\n"
        f"[The Start of Assistant A's Answer]\n{a}\n[The End of Assistant A's Answer]\n\n"
        f"[The Start of Assistant B's Answer]\n{b}\n[The End of Assistant B's Answer]"
    )


def talk(who: str, turns: list[str]) -> str:
    q1, a1, q2, a2 = turns
    said = f"### User:\n{q1}\n\n### {who}:\n{a1}\n\n### User:\n{q2}\n\n### {who}:\n{a2}"
    return f"<|The Start of {who}'s Conversation with User|>\n\n{said}\n\n<|The End of {who}'s Conversation with User|>"


def mt_bench_pairs() -> list[Row]:
    rows = []
    for i, (first, second) in enumerate([("model_1", "model_1"), ("tie", "model_2"), ("error", "tie")]):
        question, a, b = f"Question {i}?", f"Alpaca {i}", f"Bison {i}"
        about = {"question_id": 81 + i, "model_1": "alpaca-13b", "model_2": "bison-001"}
        won = {"g1_winner": first, "g2_winner": second}
        pair = {
            "judge": ["gpt-4", "pair-v2"],
            "g1_user_prompt": pair_prompt(question, a, b),
            "g1_judgment": "[[A]]",
            "g2_user_prompt": pair_prompt(question, b, a),
            "g2_judgment": "[[B]]",
            "turn": 1,
            "dataset": "mt-bench",
            "tstamp": 1687222222.5 + i,
        }
        rows.append(about | won | pair)
        talks = [[question, a, "And?", f"{a}!"], [question, b, "And?", f"{b}!"]]
        prompts = {
            f"g{game}_user_prompt": talk("Assistant A", turns[0]) + "\n\n\n" + talk("Assistant B", turns[1])
            for game, turns in ((1, talks), (2, talks[::-1]))
        }
        rows.append(about | won | pair | prompts | {"turn": 2, "judge": ["gpt-4", "pair-v2-multi-turn"]})
    return rows


def mt_bench_single() -> list[Row]:
    asked = (
        "[Instruction]\nGrade it.\n\n[Question]\nWhy?\n\n"
        "[The Start of Reference Answer]\nSo.\n[The End of Reference Answer]\n\n"
        "[The Start of Assistant's Answer]\nBecause.\n[The End of Assistant's Answer]"
    )
    about = {"question_id": 81, "model": "vicuna-13b", "judge": ["gpt-4", "single-math-v1"], "judgment": "[[8]]"}
    more = {"user_prompt": talk("Assistant A", ["Why?", "Because.", "And?", "No."]), "score": -1, "turn": 2}
    return [
        about | {"user_prompt": asked, "score": 8, "turn": 1, "tstamp": 1.5, "dataset": "d"},
        about | more | {"judge": ["gpt-4", "single-math-v1-multi-turn"], "tstamp": 2.5},
    ]


def lmarena() -> list[Row]:
    rows = []
    for i, winner in enumerate(["model_a", "model_b", "tie", "tie (bothbad)"]):
        talks = [[user(f"Q{i}?"), assistant(f"{who} {i}")] for who in ("A", "B")]
        if i == 1:
            talks = [[*turns, user("More?"), assistant(f"more {who}")] for turns, who in zip(talks, "AB", strict=True)]
        if i == 2:
            talks = [[user("Q?"), assistant("Same"), user("More?"), assistant(f"more {who}")] for who in "AB"]
        rows.append(
            {
                "question_id": f"hash{i}",
                "model_a": "koala-13b",
                "model_b": "oasst-12b",
                "winner": winner,
                "judge": f"arena_user_{i}",
                "conversation_a": talks[0],
                "conversation_b": talks[1],
                "turn": len(talks[0]) // 2,
                "anony": True,
                "dataset": "arena",
                "language": "English",
                "tstamp": 1682351591.1 + i,
                "openai_moderation": {"flagged": False},
            }
        )
    return rows


def trl_texts() -> list[Row]:
    return [
        {"prompt": f"The sky {i} is", "chosen": " blue.", "rejected": f" green {i}.", "score_chosen": 9.5, "id": i}
        | {"score_rejected": 2.0}
        for i in range(8)
    ]


def trl_chats() -> list[Row]:
    system = {"role": "system", "content": "Be brief."}
    return [
        {"prompt": [user("Colour?")], "chosen": [assistant("Blue.")], "rejected": [assistant("Green.")]},
        {
            "prompt": [system, user("Colour?"), assistant("Of what?"), user("The sky.")],
            "chosen": [assistant("Blue."), user("Sure?"), assistant("Yes.")],
            "rejected": [assistant("Green.")],
        },
    ]


def rewardbench() -> list[Row]:
    return [
        {
            "prompt": f"Question {i}?",
            "chosen": f"Good {i}",
            "chosen_model": "GPT4-Turbo",
            "rejected": f"Bad {i}",
            "rejected_model": "bert_chat",
            "subset": "alpacaeval-easy",
            "id": i,
        }
        for i in range(6)
    ]


def annotated_pairs() -> list[Row]:
    def comparison(i: int, prefs: Row, **metadata: str) -> Row:
        return {
            "id": f"c{i}",
            "prompt": f"Question {i}?",
            "response_a": {"text": f"A {i}", "model": "Model X", "rating": 5},
            "response_b": {"text": f"B {i}", "model": "Model Y", "rating": 4},
            "annotations": prefs,
            "metadata": metadata,
        }

    people, principle = "d36860d4", "2f45a6d0"
    lost = {"pref": None, "no_pref_reason": "not_applicable"}
    return [
        {
            "metadata": {
                "version": "2.0",
                "description": "Ours",
                "created_at": "2025-04-02T16:02:37Z",
                "default_annotator": people,
                "available_metadata_keys_per_comparison": ["source"],
            },
            "annotators": {
                people: {"name": "Human", "description": "From the set", "type": "human"},
                principle: {"description": "Select the response that is shorter.", "type": "principle"},
            },
            "comparisons": [
                comparison(0, {people: {"pref": "a"}, principle: {"pref": "b"}}, source="s", category="fiction"),
                comparison(1, {people: {"pref": "tie"}, principle: lost}, source="s"),
            ],
        }
    ]


WRITTEN: dict[str, tuple[str, Callable[[], list[Row]]]] = {
    "arena-hard": ("arena-hard", arena_hard),
    "arena-hard 0.1": ("arena-hard", arena_hard_first),
    "mt-bench-pair": ("mt-bench-pair", mt_bench_pairs),
    "mt-bench-single": ("mt-bench-single", mt_bench_single),
    "lmarena": ("lmarena", lmarena),
    "trl texts": ("trl", trl_texts),
    "trl chats": ("trl", trl_chats),
    "rewardbench": ("rewardbench", rewardbench),
    "annotated-pairs": ("annotated-pairs", annotated_pairs),
}


def lm_eval(responses: list[str], **columns: Any) -> Row:
    return {
        "doc_id": 0,
        "doc": {"question": "2+2?"},
        "target": "4",
        "arguments": {"gen_args_0": {"arg_0": "Q: 2+2?\nA:", "arg_1": {"until": ["\n"]}}},
        "resps": [responses],
        "filtered_resps": ["4"],
        "filter": "strict-match",
        "metrics": ["exact_match"],
        "doc_hash": "d",
        "prompt_hash": "p",
        "target_hash": "t",
        "exact_match": 1.0,
    } | columns


def sample(i: int, epoch: int = 1) -> Row:
    return {
        "id": i,
        "epoch": epoch,
        "input": "attachment://abc" if i == 2 else [{"role": "user", "content": "Why?", "source": "input"}],
        "target": "So.",
        "output": {
            "model": "m-2026",
            "choices": [
                {
                    "message": {
                        "role": "assistant",
                        "content": [
                            {"type": "reasoning", "reasoning": "Hm."},
                            {"type": "text", "text": f"Because {i}."},
                        ],
                    },
                    "stop_reason": "stop",
                }
            ],
            "usage": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8},
            "time": 1.5,
        },
        "scores": {"match": {"value": "C", "answer": "Because"}},
        "metadata": {"subject": "all"},
        "attachments": {"abc": "A long question?"},
    }


LOG = {"version": 2, "status": "success", "eval": {"task": "why", "model": "openai/gpt-4o"}}


def archive(name: str, *, packed: Any = zipfile, compression: int = zipfile.ZIP_DEFLATED) -> str:
    with packed.ZipFile(name, "w", compression) as log:
        log.writestr("_journal/start.json", json.dumps({"version": 2, "eval": LOG["eval"], "plan": {}}))
        for i, epoch in ((1, 1), (1, 2), (2, 1)):
            log.writestr(f"samples/{i}_epoch_{epoch}.json", json.dumps(sample(i, epoch)))
        log.writestr("samples/2_epoch_1/events/0.json", "[]")
        log.writestr("header.json", json.dumps(LOG))
    return name


def task(*selected: Any, data: Row | None = None) -> Row:
    annotations = [
        {
            "id": i,
            "completed_by": 7 + i if i else {"id": 3, "email": "ann@example.com"},
            "result": []
            if one is None
            else [{"from_name": "pw", "to_name": "answer1,answer2", "type": "pairwise", "value": one}],
            "was_cancelled": False,
            "lead_time": 4.2,
        }
        for i, one in enumerate(selected)
    ]
    return {
        "id": 12,
        "data": data or {"prompt": "Why?", "answer1": "A", "answer2": "B", "model_1": "m", "model_2": "n"},
        "annotations": [*annotations, {"id": 9, "completed_by": 1, "result": [], "was_cancelled": True}],
        "predictions": [],
        "project": 5,
    }


def record(**responses: Any) -> Row:
    return {
        "id": "r1",
        "status": "completed",
        "_server_id": "s",
        "fields": {"instruction": "Why?", "response-1": "A", "response-2": "B"},
        "metadata": {"source": "x"},
        "suggestions": {},
        "responses": {
            name: [{"value": v, "user_id": f"u{i}"} for i, v in enumerate(vs)] for name, vs in responses.items()
        },
        "vectors": {},
    }
