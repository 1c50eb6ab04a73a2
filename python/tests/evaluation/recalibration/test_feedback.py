"""Reading files of feedback: what counts, what does not, and what is wrong in a line."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_probe.evaluation.recalibration.feedback import CUT_OFF, NO_WEIGHT, OTHER_PROBE, OTHER_STEP, REPEATED, read_feedback

from .made_up import GOOD_AT, STEP, line, write_lines

MANIFEST = {"name": "tiny", "version": 1, "metric": {"good_at": GOOD_AT}, "decision_points": [{"step": STEP}, {"step": 10}]}
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), st.lists, max_leaves=3)


def test_samples_of_a_group_are_one_caption_and_others_stand_alone(tmp_path: Path) -> None:
    lines = [
        line(sample="a", group="one", score=0.1),
        line(sample="c", group=None, score=0.3),
        line(sample=None, group=None, score=0.4),
        line(sample=None, group=None, score=0.5),
        line(sample="b", group="one", score=0.2),
        line(sample="b", group="one", score=0.6, step=10, weight=50),
        line(sample="c", group=None, score=0.7, step=10),
    ]
    feedback = read_feedback([write_lines(tmp_path / "a", lines[:3]), write_lines(tmp_path / "b", lines[3:])], MANIFEST)
    first, second = feedback.by_step[STEP], feedback.by_step[10]
    assert (feedback.captions, feedback.ungrouped, feedback.receipts, feedback.unused) == (4, 4, 7, {})
    assert first.scores.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert first.caption.tolist() == [0, 0, 1, 2, 3]
    assert (second.caption.tolist(), second.weight.tolist()) == ([0, 1], [50, 1])


def test_what_is_not_used_is_counted_by_its_reason(tmp_path: Path) -> None:
    lines = [
        line(),
        line(),  # sent to two replicas
        line(decided_at="2026-11-29T00:00:00.000Z"),  # the same names, another run
        line(sample="b", model="other"),
        line(sample="c", version=2),
        line(sample="d", step=7),
        line(sample="e", weight=None),
    ]
    path = write_lines(tmp_path / "feedback.jsonl", lines)
    path.write_text(path.read_text() + '\n{"model": "ti')
    feedback = read_feedback([path], MANIFEST)
    assert feedback.receipts == 2
    assert feedback.unused == {REPEATED: 1, OTHER_PROBE: 2, OTHER_STEP: 1, NO_WEIGHT: 1, CUT_OFF: 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": "high"}, 'score is "high": expected a finite number'),
        ({"score": float("nan")}, "score is NaN: expected a finite number"),
        ({"quality": None}, "quality is null: expected a finite number"),
        ({"quality": True}, "quality is true: expected a finite number"),
        ({"weight": 0.5}, "weight is 0.5: expected a number from 1, or null"),
        ({"step": 5.5}, "step is 5.5: expected a whole number"),
        ({"group": 7}, "group is 7: expected a text or null"),
        ({"good_at": 0.5}, "good_at is 0.5, but the probe's is 0.6"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(tmp_path: Path, changes: dict, message: str) -> None:
    path = write_lines(tmp_path / "feedback.jsonl", [line(), line(sample="b", **changes)])
    with pytest.raises(ValueError, match=r"feedback\.jsonl:2") as error:
        read_feedback([path], MANIFEST)
    assert message in str(error.value)


def test_a_missing_field_no_line_at_all_and_no_file(tmp_path: Path) -> None:
    without = {name: value for name, value in line().items() if name != "group"}
    with pytest.raises(ValueError, match="1: group is missing"):
        read_feedback([write_lines(tmp_path / "a", [without])], MANIFEST)
    with pytest.raises(ValueError, match=r"no feedback on tiny@1 in .*: it has no lines"):
        read_feedback([write_lines(tmp_path / "b", [])], MANIFEST)
    with pytest.raises(ValueError, match="1 of other probes or versions"):
        read_feedback([write_lines(tmp_path / "c", [line(version=2)])], MANIFEST)
    with pytest.raises(FileNotFoundError, match="FEEDBACK_FILE"):
        read_feedback([tmp_path / "nowhere"], MANIFEST)
    (tmp_path / "d").write_text("not json\n{}\n")
    with pytest.raises(ValueError, match="d:1 is not JSON"):
        read_feedback([tmp_path / "d"], MANIFEST)


@given(st.dictionaries(st.sampled_from(sorted(line())), JSON, max_size=4) | JSON)
def test_any_json_is_read_or_refused_in_one_sentence(tmp_path_factory, value) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text(json.dumps({**line(), **value} if isinstance(value, dict) else value) + "\n")
    message = ""
    try:
        receipts = read_feedback([path], MANIFEST).receipts
    except ValueError as error:
        receipts, message = 0, str(error)
    assert (receipts == 1) == (message == "")
    assert "\n" not in message
