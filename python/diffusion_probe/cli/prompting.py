"""The command `prompt`."""

from __future__ import annotations

import argparse
import shlex
import shutil
from pathlib import Path
from typing import Any

from .drawing import (
    REFERENCE_WORLD,
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
from .options import RUNS, add_command, not_negative, positive, positive_count

TAU_WORDS = ("calibration", "always", "never")
TAU_HELP = (
    "rewrite below this score; or calibration (where it pays, by the trajectories in --probe), 40%% (the lowest 40%% of them), "
    "always, or never (default: calibration)"
)
GRAMMAR, OPENAI, COMMAND = "grammar", "openai", "command"


def add_prompt_command(commands: argparse._SubParsersAction) -> None:
    text = "rewrite a prompt where the first steps of its image promise little, and finish the best of the rewrites"
    one = add_command(commands, "prompt", _prompt, text, "--reference", "--backbone", "--reward")
    add_prompt_options(one, RUNS / "prompt")
    when = one.add_argument_group("when to rewrite, and what to draw for")
    when.add_argument("--tau", type=tau_option, default="calibration", help=TAU_HELP)
    when.add_argument("--candidates", type=positive_count, default=6, help="rewrites at most")
    budget = "whole images' worth of denoiser calls, look and rewrites included (default: finish one image)"
    when.add_argument("--budget", type=positive, help=budget)
    when.add_argument(
        "--look-step", type=positive_count, help="step of the look (default: the one nearest to a fifth of the run)"
    )
    when.add_argument("--look-seeds", type=positive_count, default=1, help="seeds of the look, whose mean score decides")
    price = "price of the rewriter's answer in denoiser calls, for --tau calibration"
    when.add_argument("--rewriter-calls", type=not_negative, default=0.0, help=price)
    add_rewriter_options(one)
    add_asking_options(one)
    add_diffusers_options(one)


def add_rewriter_options(parser: Any) -> None:
    """Add who rewrites."""
    group = parser.add_argument_group("who rewrites")
    who = "openai, command, module:function of your own, or grammar, the default of the reference world"
    group.add_argument("--rewriter", help=who)
    group.add_argument("--rewriter-model", help="of openai: the name of the model")
    url = "of openai: the server, such as http://127.0.0.1:8000/v1 (default: OPENAI_BASE_URL, else OpenAI's)"
    group.add_argument("--rewriter-url", help=f"{url}; OPENAI_API_KEY has the key")
    group.add_argument("--rewriter-template", type=Path, help="of openai: text file with {prompt} and {count}")
    group.add_argument("--rewriter-tokens", type=positive_count, default=1024, help="of openai: most tokens of an answer")
    command = "of command: what the shell runs; it gets the prompt on stdin, and writes a rewrite per line"
    group.add_argument("--rewriter-command", help=command)
    group.add_argument("--rewriter-seconds", type=positive, default=60.0, help="longest wait for the rewriter")


def _prompt(options: argparse.Namespace) -> None:
    prompts, is_file = prompts_of(options)
    if options.service is None and options.probe is None:
        raise ValueError("--service or --probe is needed, to ask about the prompt")
    needs_trajectories = options.tau == "calibration" or str(options.tau).endswith("%")
    if needs_trajectories and options.probe is None:
        raise ValueError(f"--tau {options.tau} needs --probe, the folder with the trajectories; or name a score with --tau")
    rewriter = rewriter_of(options)
    from ..prompting import PromptOptimizer, Wish
    from ..prompting.run import optimize_prompts, prompt_summary
    from ..selection.run import folders_of

    folders = folders_of(options.out, prompts, is_file)
    backend, metric = backend_of(options, is_file)
    wish = Wish(
        **tau_of(options.tau),
        budget=whole_budget(options.budget),
        candidates=options.candidates,
        look_step=options.look_step,
        look_seeds=options.look_seeds,
        rewriter_calls=options.rewriter_calls,
    )
    client = client_of(options)
    optimizer = PromptOptimizer(
        backend,
        rewriter,
        wish,
        client=client,
        probe=newest_version(options.probe) if options.probe else None,
        model=options.model,
        metric=metric,
        check=_meaning_check(options),
        rewriter_seconds=options.rewriter_seconds,
        first_seed=options.first_seed,
        deadline_ms=options.deadline_ms,
    )
    own = ("tau", "candidates", "budget", "look_step", "look_seeds", "rewriter_calls")
    of_the_rewriter = ("rewriter_model", "rewriter_url", "rewriter_template", "rewriter_tokens", "rewriter_command")
    settings = {**settings_of(options, *own, *of_the_rewriter), "rewriter": rewriter.name}
    try:
        records = optimize_prompts(optimizer, rewriter.name, backend, prompts, folders, settings, options.fresh)
    finally:
        if client is not None:
            client.close()
    print(prompt_summary(records, options.out))


def rewriter_of(options: argparse.Namespace) -> Any:
    """The rewriter that is named. Raises ValueError for one that is not known, and for options that it lacks."""
    name = options.rewriter or (GRAMMAR if options.pipeline == REFERENCE_WORLD else None)
    if name == GRAMMAR:
        if options.pipeline != REFERENCE_WORLD:
            raise ValueError("--rewriter grammar is for the reference world")
        from ..reference.rewriting import GrammarRewriter

        return GrammarRewriter()
    if name == OPENAI:
        return _openai(options)
    if name == COMMAND:
        if not options.rewriter_command:
            raise ValueError("--rewriter command needs --rewriter-command, what the shell runs")
        program = shlex.split(options.rewriter_command)[0]
        if not any(sign in options.rewriter_command for sign in "|;&<>$()=`") and shutil.which(program) is None:
            raise ValueError(f"--rewriter-command: there is no program {program!r}")
        from ..prompting import CommandRewriter

        return CommandRewriter(options.rewriter_command, options.rewriter_seconds)
    if name is not None and ":" in name:
        from ..prompting import FunctionRewriter

        return FunctionRewriter(name)
    expected = "expected openai, command, module:function, or grammar in the reference world"
    raise ValueError(f"--rewriter is needed: {expected}" if name is None else f"there is no rewriter {name!r}: {expected}")


def _openai(options: argparse.Namespace) -> Any:
    from ..prompting import OpenAIRewriter
    from ..prompting.openai_rewriter import TEMPLATE

    if options.rewriter_model is None:
        raise ValueError("--rewriter openai needs --rewriter-model, the name of the model")
    template = options.rewriter_template.read_text(encoding="utf-8") if options.rewriter_template else TEMPLATE
    return OpenAIRewriter(
        options.rewriter_model, options.rewriter_url, options.rewriter_seconds, options.rewriter_tokens, template=template
    )


def tau_of(value: str | float) -> dict[str, float | None]:
    """The members `tau` and `lowest` of Wish."""
    from ..prompting import ALWAYS, NEVER

    if isinstance(value, str) and value.endswith("%"):
        return {"tau": None, "lowest": float(value[:-1]) / 100}
    words = {"calibration": None, "always": ALWAYS, "never": NEVER}
    return {"tau": words[value] if isinstance(value, str) else value, "lowest": None}


def _meaning_check(options: argparse.Namespace) -> Any:
    """In the reference world the meaning of a rewrite is known. None: whatever the backend can draw."""
    if options.pipeline != REFERENCE_WORLD:
        return None
    from ..reference.rewriting import require_same_meaning

    return require_same_meaning


def tau_option(text: str) -> str | float:
    """Parse a score, a share of the calibration such as 40%, or one of `TAU_WORDS`."""
    if text in TAU_WORDS:
        return text
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = float("nan")
    if not (0 < value < 100 if text.endswith("%") else abs(value) < float("inf")):
        expected = f"a score, a share such as 40%, or one of {', '.join(TAU_WORDS)}"
        raise argparse.ArgumentTypeError(f"expected {expected}, not {text!r}")
    return text if text.endswith("%") else value
