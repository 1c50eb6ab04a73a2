"""The command `select`."""

from __future__ import annotations

import argparse
from typing import Any

from .drawing import (
    add_asking_options,
    add_diffusers_options,
    add_prompt_options,
    backend_of,
    client_of,
    newest_version,
    prompts_of,
    settings_of,
    whole_budget,
)
from .options import RUNS, add_command, positive, positive_count


def add_select_command(commands: argparse._SubParsersAction) -> None:
    text = "draw several seeds of a prompt, drop some on the way by their scores, finish the others and rank them"
    one = add_command(commands, "select", _select, text, "--reference", "--backbone", "--reward")
    add_prompt_options(one, RUNS / "select")
    plan = one.add_argument_group("what to draw for", "One of --budget, --seeds with --keep, and --best-of.")
    plan.add_argument("--budget", type=positive, help="whole images' worth of denoiser calls, by the probe's plan for it")
    plan.add_argument("--seeds", type=positive_count, help="how many seeds to start")
    plan.add_argument("--keep", type=_keep, help="how many to keep after which steps, such as 1=7,3=6,5=2")
    plan.add_argument("--best-of", type=positive_count, metavar="K", help="finish K seeds without a question")
    add_asking_options(one)
    add_diffusers_options(one)


def _select(options: argparse.Namespace) -> None:
    prompts, is_file = prompts_of(options)
    plan = _plan(options)
    asks = options.best_of is None
    if asks and options.service is None and options.probe is None:
        raise ValueError("--service or --probe is needed, to ask about the seeds; or --best-of, which asks no probe")
    from ..selection import Selector
    from ..selection.run import folders_of, select_prompts, summary

    folders = folders_of(options.out, prompts, is_file)
    backend, metric = backend_of(options, is_file)
    client = client_of(options) if asks else None
    selector = Selector(
        backend,
        plan,
        client=client,
        probe=newest_version(options.probe) if asks and options.probe else None,
        model=options.model,
        metric=metric,
        first_seed=options.first_seed,
        deadline_ms=options.deadline_ms,
    )
    keep = options.keep and {str(step): count for step, count in options.keep}
    settings = {**settings_of(options, "budget", "seeds", "best_of"), "keep": keep}
    try:
        records = select_prompts(selector, backend, prompts, folders, settings, options.fresh)
    finally:
        if client is not None:
            client.close()
    print(summary(records, options.out))


def _plan(options: argparse.Namespace) -> Any:
    """A budget or a plan."""
    from ..planning.plan import Plan

    given = [name for name in ("budget", "seeds", "best_of") if getattr(options, name) is not None]
    if len(given) != 1 or (options.keep is None) != (options.seeds is None):
        raise ValueError("what to draw for is not clear: expected one of --budget, --seeds with --keep, and --best-of")
    if options.budget is not None:
        return whole_budget(options.budget)
    return Plan(options.best_of) if options.keep is None else Plan(options.seeds, options.keep)


def _keep(text: str) -> tuple[tuple[int, int], ...]:
    """Parse counts by step; steps ascending."""
    try:
        pairs = [tuple(int(part) for part in item.split("=")) for item in text.split(",")]
        return tuple(sorted((step, count) for step, count in pairs))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected step=count, separated by commas, such as 1=7,3=6,5=2, not {text!r}") from None
