"""An optimization in a made-up world: what is drawn, what it costs, and that every failure keeps the prompt as given."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from diffusion_probe.prompting import ALWAYS, NEVER, PromptOptimizer, Wish

from ..planning.synthetic import STEPS
from .made_up import BETTER, LOW, PROMPT, WORSE, ListRewriter, MadeUpBackend, MadeUpClient, probe_folder

LOOK = 3
REWRITES = ["two keys right of a cat", "one cat, two keys to the right of it", "on the left a cat, on the right two keys"]
SCORES = {PROMPT: LOW, REWRITES[0]: BETTER, REWRITES[1]: WORSE, REWRITES[2]: WORSE}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return probe_folder(tmp_path_factory.mktemp("probe"))


@pytest.fixture
def optimize(folder: Path):
    """Optimizes the prompt: the answer, the backend and the rewriter."""

    def run(
        scores: dict[str, float] = SCORES,
        texts: Any = REWRITES,
        client: Any = None,
        rewriter: ListRewriter | None = None,
        qualities: dict[str, float] | None = None,
        seconds: float = 60.0,
        **wish: Any,
    ):
        backend, rewriter = MadeUpBackend(scores, qualities), rewriter or ListRewriter(texts)
        settings = Wish(**{"tau": 0.5, "look_step": LOOK, "candidates": 3, **wish})
        optimizer = PromptOptimizer(
            backend, rewriter, settings, client=client or MadeUpClient(), probe=folder, rewriter_seconds=seconds
        )
        return optimizer(PROMPT), backend, rewriter

    return run


def test_a_prompt_that_promises_enough_goes_on_without_a_further_call(optimize) -> None:
    answer, backend, rewriter = optimize({PROMPT: 0.6})
    assert (answer.decision, answer.original_won, answer.outcome, answer.calls) == ("good_enough", True, "scored", STEPS)
    assert (answer.look.score, answer.best.quality) == (pytest.approx(0.6), pytest.approx(0.6))
    assert rewriter.asked == []
    assert backend.drawn == [[(PROMPT, 0)]]


def test_the_best_rewrite_of_a_prompt_that_promises_little_is_finished(optimize) -> None:
    answer, backend, rewriter = optimize()
    assert (answer.decision, answer.chosen, answer.original_won) == ("rewritten", REWRITES[0], False)
    assert rewriter.asked == [(PROMPT, 3)]
    assert [draw.purpose for draw in answer.draws] == ["look", "final"]
    assert answer.calls == LOOK + 3 * LOOK + STEPS - LOOK
    assert backend.judged_by == {PROMPT}
    assert [(one.prompt, one.score, one.samples) for one in answer.wordings] == [
        (text, pytest.approx(score), 1) for text, score in SCORES.items()
    ]
    assert [one.quality is None for one in answer.wordings] == [True, False, True, True]


def test_the_prompt_as_given_wins_where_no_rewrite_has_a_higher_score(optimize) -> None:
    answer, backend, _ = optimize(dict.fromkeys(REWRITES, WORSE) | {PROMPT: LOW})
    assert (answer.decision, answer.chosen, answer.original_won) == ("rewritten", PROMPT, True)
    assert answer.calls == LOOK + 3 * LOOK + STEPS
    assert backend.drawn[-1] == [(PROMPT, 0)]
    assert [draw.purpose for draw in answer.draws] == ["look", "candidates", "final"]


def test_always_needs_no_look_and_never_asks_no_rewriter(optimize) -> None:
    always, _, rewriter = optimize({**SCORES, PROMPT: 0.9}, tau=ALWAYS)
    assert (always.decision, always.look, always.original_won, len(rewriter.asked)) == ("rewritten", None, True, 1)
    assert always.calls == 4 * LOOK + STEPS - LOOK
    never, _, rewriter = optimize(tau=NEVER)
    assert (never.decision, never.look, never.calls, rewriter.asked) == ("never", None, STEPS, [])


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (RuntimeError("out of tokens"), "RuntimeError: out of tokens"),
        (SystemExit(3), "RuntimeError: SystemExit(3)"),
        ("one text", "it returned a str"),
        (None, "it returned a NoneType"),
        ([1, 2], "it returned a list with a int"),
        ([], "it returned no other text"),
        (["", "  ", f" {PROMPT.upper()} "], "it returned no other text"),
        (["a zebra left of two keys"], "no rewrite can be drawn"),
    ],
)
@pytest.mark.parametrize("budget", [None, 2])
def test_a_rewriter_that_fails_costs_no_image(optimize, texts: Any, why: str, budget: float | None) -> None:
    def end() -> None:
        if isinstance(texts, SystemExit):
            raise texts

    answer, _, _ = optimize(rewriter=ListRewriter(texts, end), budget=budget)
    assert (answer.decision, answer.original_won, answer.best.image is None) == ("not_rewritten", True, False)
    assert why in answer.rewrites.failure
    assert {sample.prompt for sample in answer.final.samples} == {PROMPT}
    assert answer.calls <= (LOOK + STEPS if budget is None else budget * STEPS)


def test_a_rewriter_that_hangs_is_not_waited_for(optimize) -> None:
    started = time.monotonic()
    answer, _, _ = optimize(rewriter=ListRewriter(REWRITES, lambda: time.sleep(30)), seconds=0.1)
    assert time.monotonic() - started < 10
    assert (answer.decision, answer.rewrites.failure) == ("not_rewritten", "no answer within 0.1 s")


def test_rewrites_are_cleaned_and_those_that_cannot_be_drawn_are_named(optimize) -> None:
    texts = [f"  {REWRITES[0]}\n", REWRITES[0].upper(), "a zebra", "x" * 5000, PROMPT, REWRITES[1], REWRITES[2], "one too many"]
    answer, _, _ = optimize(texts=texts)
    assert answer.rewrites.texts == tuple(REWRITES)
    assert [(text[:7], why) for text, why in answer.rewrites.refused] == [
        ("a zebra", "a zebra cannot be drawn"),
        ("xxxxxxx", "5000 characters: expected at most 4000"),
    ]


@pytest.mark.parametrize("score", [LOW, 0.6], ids=["below tau", "above tau"])
@pytest.mark.parametrize("budget", [1.4, 2, 3.5])
def test_a_budget_holds_for_everything_that_is_drawn(optimize, score: float, budget: float) -> None:
    answer, backend, rewriter = optimize({**SCORES, PROMPT: score}, budget=budget, look_step=1)
    assert answer.calls <= budget * STEPS
    assert answer.calls > (budget - 1) * STEPS
    look, group = backend.drawn
    assert look == [(PROMPT, 0)]
    wordings = [PROMPT, *answer.rewrites.texts] if answer.rewrites else [PROMPT]
    assert [prompt for prompt, _ in group] == [wordings[index % len(wordings)] for index in range(len(group))]
    assert len(set(group)) == len(group)
    assert (answer.decision == "rewritten") == (score == LOW) == (len(rewriter.asked) == 1)
    if rewriter.asked:
        assert rewriter.asked == [(PROMPT, min(3, len(group) - 1))]
        assert answer.chosen == REWRITES[0]


def test_the_metric_decides_between_finished_images_of_a_plan(optimize) -> None:
    """The score prefers a rewrite, whose image does not show what was asked for."""
    answer, backend, _ = optimize(qualities={**SCORES, REWRITES[0]: 0.0}, budget=4, look_step=1)
    assert len(answer.final.finished) > 1
    assert backend.judged_by == {PROMPT}
    assert answer.best.quality == max(sample.quality for sample in answer.final.finished)
    assert answer.chosen != REWRITES[0]


def test_several_seeds_of_the_look_decide_together(optimize) -> None:
    answer, _, _ = optimize({**SCORES, PROMPT: 0.501}, look_seeds=2)
    assert answer.look.scores == (pytest.approx(0.501), pytest.approx(0.5))
    assert (answer.decision, answer.calls) == ("good_enough", LOOK * 2 + STEPS - LOOK)


def test_a_look_without_an_answer_keeps_the_prompt(optimize) -> None:
    alone, _, rewriter = optimize(client=MadeUpClient(1))
    assert (alone.decision, alone.outcome, alone.calls, alone.original_won) == ("unscored", "failed_open", STEPS, True)
    assert (alone.look.score, [failure.reason for failure in alone.failures], rewriter.asked) == (None, ["network"], [])
    with_budget, _, rewriter = optimize(client=MadeUpClient(1), budget=2)
    assert (with_budget.decision, with_budget.outcome, rewriter.asked) == ("unscored", "failed_open", [])
    assert with_budget.calls <= 2 * STEPS
    assert with_budget.best.image is not None


def test_candidates_without_an_answer_keep_the_prompt_and_do_not_finish_them_all(optimize) -> None:
    answer, _, _ = optimize(client=MadeUpClient(2))
    assert (answer.decision, answer.outcome, answer.original_won) == ("rewritten", "failed_open", True)
    assert answer.calls == LOOK + 3 * LOOK + STEPS


def test_a_service_that_does_not_list_its_probes_costs_no_image() -> None:
    backend, rewriter = MadeUpBackend(SCORES), ListRewriter(REWRITES)
    answer = PromptOptimizer(backend, rewriter, Wish(tau=0.5, budget=2), client=MadeUpClient())(PROMPT)
    assert (answer.decision, answer.outcome, answer.calls, rewriter.asked) == ("unscored", "failed_open", 2 * STEPS, [])
    assert [failure.reason for failure in answer.failures] == ["no_probe"]


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"budget": 1.2}, "a budget of 1.2 whole images: expected at least 1.3"),
        ({"budget": 1.3}, "draws one sample: a rewrite needs a higher --budget"),
        ({"look_step": 4}, r"cannot score at step 4: expected some of \[1, 3, 5\]"),
    ],
)
def test_a_wish_that_the_probe_cannot_meet_is_refused(optimize, wish: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimize(**wish)


def test_the_calibration_needs_the_folder_of_the_probe(tmp_path: Path, folder: Path) -> None:
    backend, rewriter = MadeUpBackend(SCORES), ListRewriter(REWRITES)
    with pytest.raises(FileNotFoundError, match="has no trajectories"):
        PromptOptimizer(backend, rewriter, client=MadeUpClient(), probe=probe_folder(tmp_path, trajectories_too=False))
    optimizer = PromptOptimizer(backend, rewriter, client=MadeUpClient(), probe=folder)
    course = optimizer.course()
    assert course.step == 1
    assert course.threshold.tau == course.tau
