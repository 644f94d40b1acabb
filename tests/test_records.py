"""Records as users bring them: what is read, what is refused, and how outputs meet the baseline."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simfarm.data.files import write_rows
from simfarm.data.frames import frame_verdicts
from simfarm.data.inputs import comparisons_for, read_for_evaluation
from simfarm.data.pairing import pair_with_baseline
from simfarm.data.records import Output, comparisons_from_rows, kind_of_rows, outputs_from_rows
from simfarm.errors import InputError


def outputs(generator: str, instructions: list[str], **columns: Any) -> list[dict[str, Any]]:
    return [{"instruction": i, "output": f"{generator}: {i}", "generator": generator, **columns} for i in instructions]


def test_input_is_appended_after_a_blank_line_and_messages_are_kept() -> None:
    rows = [
        {"instruction": "Translate", "input": "Guten Tag", "output": "Hello", "generator": "m"},
        {"messages": [{"role": "user", "content": "Hi"}], "output": "Hello", "generator": "m", "category": "chat"},
    ]
    first, second = outputs_from_rows(rows, "f")
    assert first.instruction == "Translate\n\nGuten Tag"
    assert second.messages == ({"role": "user", "content": "Hi"},)
    assert second.extra == {"category": "chat"}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"output": "x", "generator": "m"}, "row 2 lacks the column 'instruction'"),
        ({"instruction": "i", "generator": "m"}, "row 2 lacks the column 'output'"),
        ({"instruction": "i", "output": None, "generator": "m"}, "row 2 has no 'output'"),
        ({"instruction": "i", "output": 3, "generator": "m"}, "row 2 has a int in 'output'"),
        ({"instruction": "i", "output": "x"}, "row 2 lacks 'generator'"),
        ({"instruction": "i", "output": "x", "generator": "  "}, "row 2 lacks 'generator'"),
        ({"instruction": "a", "output": "other", "generator": "m"}, "row 2 repeats row 1"),
        ({"instruction": "a", "output": "x", "generator": "m", "sample": "one"}, "row 2 has the sample 'one'"),
        ({"messages": "hi", "output": "x", "generator": "m"}, "row 2 has 'messages' that are not JSON"),
        ({"messages": [{"role": "user"}], "output": "x", "generator": "m"}, "row 2 needs 'messages'"),
    ],
)
def test_bad_output_rows(row: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        outputs_from_rows([*outputs("m", ["a"]), row], "outputs.json")


def test_samples_tell_answers_apart() -> None:
    rows = [{"instruction": "a", "output": str(s), "generator": "m", "sample": s} for s in range(3)]
    assert [o.sample for o in outputs_from_rows(rows, "f")] == [0, 1, 2]


def test_a_half_surrogate_becomes_the_replacement_character() -> None:
    (made,) = outputs_from_rows([{"instruction": "a", "output": "half \ud83d", "generator": "m"}], "f")
    assert made.output == "half \ufffd\ufffd\ufffd"


def test_kinds() -> None:
    assert kind_of_rows(outputs("m", ["a"]), "f") == "outputs"
    assert kind_of_rows([{"instruction": "a", "output_1": "", "output_2": ""}], "f") == "comparisons"
    assert kind_of_rows([{"preference": 1}], "f") == "annotations"
    with pytest.raises(InputError, match="it has answer, question"):
        kind_of_rows([{"question": 1, "answer": 2}], "f")


def test_in_comparison_files_an_instruction_may_recur_and_unknown_columns_pass() -> None:
    row = {"instruction": "a", "output_1": "x", "output_2": "y", "my_note": 7}
    made = comparisons_from_rows([row, row], "f")
    assert len(made) == 2
    assert made[0].extra == {"my_note": 7}


def read(generator: str, instructions: list[str], **columns: Any) -> list[Any]:
    return outputs_from_rows(outputs(generator, instructions, **columns), generator)


def test_pairs_join_on_the_text_not_on_position() -> None:
    base, model = read("base", ["a", "b ", "c"]), read("m", ["c", "b", "a"])
    pairs = pair_with_baseline(model, base)
    assert [(p.output_1, p.output_2) for p in pairs] == [
        ("base: c", "m: c"),
        ("base: b ", "m: b"),
        ("base: a", "m: a"),
    ]


def test_one_instruction_in_two_datasets_is_two_questions() -> None:
    base = read("base", ["a"], dataset="x") + read("base", ["a"], dataset="y")
    model = read("m", ["a"], dataset="y")
    (pair,) = pair_with_baseline(model, base, allow_missing=True)
    assert pair.dataset == "y"
    with pytest.raises(InputError, match="1 baseline output without an answer"):
        pair_with_baseline(model, base)


def test_partial_matches_are_counted_and_need_leave() -> None:
    base, model = read("base", ["a", "b", "c"]), read("m", ["b", "c", "d"])
    with pytest.raises(
        InputError, match=r"2 outputs with a baseline output, 1 output without one, 1 baseline .*--allow-missing"
    ):
        pair_with_baseline(model, base)
    assert len(pair_with_baseline(model, base, allow_missing=True)) == 2
    with pytest.raises(InputError, match="none of the outputs"):
        pair_with_baseline(read("m", ["z"]), base, allow_missing=True)


def test_samples_meet_the_same_sample_or_the_first() -> None:
    base = read("base", ["a"], sample=0) + read("base", ["a"], sample=1)
    model = [o for s in range(3) for o in read("m", ["a"], sample=s)]
    pairs = pair_with_baseline(model, base)
    assert [p.extra.get("sample", 0) for p in pairs] == [0, 1, 2]


def test_sample_s_is_shown_beside_the_baselines_sample_s() -> None:
    def answers(generator: str, n: int) -> list[Any]:
        asked = {"instruction": "a", "generator": generator}
        return outputs_from_rows([asked | {"output": f"{generator} {s}", "sample": s} for s in range(n)], generator)

    pairs = pair_with_baseline(answers("m", 3), answers("base", 2))
    assert [(p.output_1, p.output_2) for p in pairs] == [("base 0", "m 0"), ("base 1", "m 1"), ("base 0", "m 2")]


def test_one_instruction_in_two_datasets_is_no_repetition() -> None:
    row = {"instruction": "a", "output": "x", "generator": "m"}
    rows = [row | {"dataset": name} for name in ("one", "two")]
    assert [o.dataset for o in outputs_from_rows(rows, "f")] == ["one", "two"]
    with pytest.raises(InputError, match="row 3 repeats row 1"):
        outputs_from_rows([*rows, rows[0]], "f")


def test_equal_answers_of_two_samples_are_judged_anew_as_two() -> None:
    row = {"instruction": "a", "output_1": "x", "output_2": "y", "generator_1": "base", "generator_2": "m"}
    calls = [row | {"annotator": "j", "preference": 1, "order": o, "sample": s} for s in (0, 1) for o in ("12", "21")]
    pairs = comparisons_for([pd.DataFrame(calls)])
    assert [p.extra["sample"] for p in pairs] == [0, 1]


def test_finish_reasons_keep_their_side() -> None:
    (pair,) = pair_with_baseline(read("m", ["a"], finish_reason="length"), read("base", ["a"], finish_reason="stop"))
    assert pair.extra == {"finish_reason_1": "stop", "finish_reason_2": "length"}


def test_columns_of_an_output_go_along_except_how_it_was_made() -> None:
    made = {"model": "m", "engine": "openai", "sampling": {"seed": 1}, "system": "Be brief.", "thinking": "hm"}
    one = Output("Why?", "Because.", "a", extra={**made, "price": None, "category": "clocks", "weight": 1})
    two = Output("Why?", "So.", "b", extra={**made, "price": 0.5, "weight": 2, "mine": True})
    (pair,) = pair_with_baseline([two], [one])
    assert pair.extra == {
        "weight": 2,
        "weight_1": 1,
        "weight_2": 2,
        "mine": True,
        "model_1": "m",
        "model_2": "m",
        "price_2": 0.5,
        "category": "clocks",
    }


def test_inputs_choose_the_baseline_by_file_or_name(tmp_path: Path) -> None:
    base, model = tmp_path / "base.json", tmp_path / "m.json"
    write_rows(base, outputs("base", ["a", "b"]))
    write_rows(model, outputs("m", ["a", "b"]))
    by_file = comparisons_for([model], str(base))
    by_name = comparisons_for([model, base], "base")
    with_both_listed = comparisons_for([base, model], str(base))
    assert by_file == by_name == with_both_listed
    assert len(comparisons_for([model], str(base), limit=1)) == 1
    assert comparisons_for([pd.DataFrame(outputs("m", ["a", "b"]))], str(base)) == by_file


def test_inputs_that_do_not_fit(tmp_path: Path) -> None:
    base, model, twin = tmp_path / "base.json", tmp_path / "m.json", tmp_path / "twin.json"
    write_rows(base, outputs("base", ["a"]))
    write_rows(model, outputs("m", ["a"]))
    write_rows(twin, outputs("m", ["b"]))
    pairs = tmp_path / "pairs.json"
    write_rows(pairs, [{"instruction": "a", "output_1": "x", "output_2": "y"}])
    for given, baseline, told in [
        ([model], None, "add baseline=FILE, or the name of one of m"),
        ([model], "nobody", "neither a file nor a generator in the files; they hold m"),
        ([base], str(base), "the only output file is the baseline itself"),
        ([model, twin], str(base), "is also in"),
        ([model, pairs], str(base), "different kinds"),
        ([pairs], str(base), "already holds pairs"),
        ([model], str(pairs), "must be a file of outputs"),
        ([twin], str(base), "none of the outputs"),
    ]:
        with pytest.raises(InputError, match=told):
            comparisons_for(given, baseline)


def annotations(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {"instruction": ["a", "b"], "generator_1": "base", "generator_2": "m", "output_1": "x", "output_2": "yy"}
        | columns
    )


def test_annotation_frames_are_normal() -> None:
    frame = frame_verdicts(annotations(preference=[0, None]), "f").table
    assert frame["preference"].tolist()[0] == 1.5
    assert np.isnan(frame["preference"][1])
    assert frame["status"].tolist() == ["verdict", "unparseable"]
    assert frame["annotator"].tolist() == ["unknown", "unknown"]
    assert frame["length_2"].tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"preference": [1, 0.3]}, r"row 2 has the preference 0.3, as in a file that codes P\(output_2\)"),
        ({"preference": [1, 0]}, r"row 2 has the preference 0 and no row .* Where it is output_1 add 1 to the column"),
        ({"preference": [1, 3]}, "row 2 has the unknown preference 3"),
        ({"preference": [-1, 1]}, "row 1 has the unknown preference -1"),
        ({"preference": ["m", "1"]}, "row 1 has the unknown preference 'm'"),
        ({"preference": [1, 2], "status": ["verdict", "fine"]}, "row 2 has the unknown status 'fine'"),
        ({"preference": [1, 2], "status": ["verdict", "error"]}, "row 2 has status 'error' but its preference"),
        ({"preference": [1, 2], "generator_2": ["m", None]}, "row 2 has no 'generator_2'"),
        ({}, "lacks the column 'preference'"),
    ],
)
def test_bad_annotations(columns: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        frame_verdicts(annotations(**columns), "f")


def test_annotations_without_any_instruction() -> None:
    with pytest.raises(InputError, match="lacks both 'instruction' and 'instruction_id'"):
        frame_verdicts(annotations(preference=[1, 2]).drop(columns="instruction"), "f")


def test_annotation_files_are_read_as_alpaca_eval_wrote_them(shared_data: Path) -> None:
    folder = shared_data / "alpaca_eval_2"
    paths = sorted((folder / "annotations").glob("*.zst"))[:2]
    read = read_for_evaluation(paths)
    assert read is not None
    verdicts, baseline = read
    frame = verdicts.table
    assert baseline is None
    assert frame.groupby("generator_2").size().tolist() == [805, 805]
    assert frame["length_1"].isna().all()
    filled = read_for_evaluation(paths, str(folder / "baseline_gpt4_1106_preview.jsonl.zst"))
    assert filled is not None
    assert filled[1] == "gpt4_1106_preview"
    assert (filled[0].table["length_1"] > 0).all()
    assert (filled[0].table["length_2"] > 0).any()


def test_output_files_hold_no_verdicts_and_kinds_do_not_mix(tmp_path: Path) -> None:
    write_rows(tmp_path / "m.json", outputs("m", ["a"]))
    annotations(preference=[1, 2]).to_parquet(tmp_path / "a.parquet")
    assert read_for_evaluation([tmp_path / "m.json"]) is None
    with pytest.raises(InputError, match="holds no verdicts, but"):
        read_for_evaluation([tmp_path / "a.parquet", tmp_path / "m.json"])
    with pytest.raises(InputError, match="one generator's outputs"):
        read_for_evaluation([tmp_path / "a.parquet"], annotations(preference=[1, 2]))
