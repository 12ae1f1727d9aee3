"""`scaleprof sweep`: its options, and what they start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scaleprof.cli.arguments import Text, option
from scaleprof.errors import UserError


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(short_help="Train every model at every size; show what it cost.")(sweep)


def sweep(
    agents: Annotated[Text, option("--agents", "Agent counts: 16,128 or 16:4096:x2.", "16,128,1024")] = None,
    seq_len: Annotated[Text, option("--seq-len", "Timesteps of a rollout.", "16")] = None,
    scenario: Annotated[Text, option("--scenario", "Environment, or NAME:TASK.", "neom", metavar="NAME")] = None,
    reward: Annotated[
        Text, option("--reward", "Team mean (shared) or each agent's own (individual).", "by scenario", metavar="KIND")
    ] = None,
    batching: Annotated[
        Text,
        option("--batching", "Step environments by vmap or map; auto tries both.", "by scenario", metavar="HOW"),
    ] = None,
    reset: Annotated[
        Text,
        option("--reset", "New episodes from a pool of starts, or exact.", "by scenario", metavar="HOW"),
    ] = None,
    model: Annotated[
        Text, option("--model", "Models, or pairs such as sable:chunkwise,mat:dense.", "sable,mat")
    ] = None,
    mode: Annotated[Text, option("--mode", "Keep only these modes.", "each model's own")] = None,
    chunk: Annotated[Text, option("--chunk", "Timesteps per chunk, for chunkwise modes.", "1")] = None,
    envs: Annotated[Text, option("--envs", "Environments stepped together.", "4")] = None,
    embed_dim: Annotated[Text, option("--embed-dim", "Embedding width.", "64")] = None,
    heads: Annotated[Text, option("--heads", "Heads.", "4")] = None,
    blocks: Annotated[Text, option("--blocks", "Encoder and decoder blocks, or hidden layers.", "1")] = None,
    dtype: Annotated[Text, option("--dtype", "Precision of matrix products: float32, bfloat16.", "float32")] = None,
    seed: Annotated[Text, option("--seed", "Random seeds.", "0")] = None,
    repeats: Annotated[int | None, option("--repeats", "Processes per point.", "1", metavar="N")] = None,
    epochs: Annotated[int | None, option("--epochs", "Passes over each rollout.", "1", metavar="N")] = None,
    minibatches: Annotated[int | None, option("--minibatches", "Groups of environments.", "2", metavar="N")] = None,
    measure: Annotated[
        Text,
        option(
            "--measure",
            "memory,speed: each in a process of its own, so that memory repeats exactly.",
            "together",
            metavar="WHAT",
        ),
    ] = None,
    min_updates: Annotated[
        int | None, option("--min-updates", "Updates that are measured, at least.", "3", metavar="N")
    ] = None,
    min_seconds: Annotated[
        float | None, option("--min-seconds", "Seconds that they take, at least.", "1", metavar="SECONDS")
    ] = None,
    warmup_updates: Annotated[
        int | None,
        option(
            "--warmup-updates", "Updates before, not measured, at least; more until times settle.", "4", metavar="N"
        ),
    ] = None,
    pin: Annotated[Text, option("--pin", "Cores to keep every point to: 0 or 0,1.", "all", metavar="CORES")] = None,
    fresh_compile: Annotated[
        bool | None, typer.Option("--fresh-compile", help="Compile in every repeat, not only in the first.")
    ] = None,
    against: Annotated[
        Text,
        typer.Option(
            "--against",
            metavar="PYTHON_OR_CHECKOUT",
            help="Measure this code and another scaleprof in turns, as live pairs.",
        ),
    ] = None,
    acting: Annotated[
        Text,
        option(
            "--acting",
            "Agent after agent, or fixed_point: all at once until none changes.",
            "sequential",
            metavar="WAY",
        ),
    ] = None,
    accumulate: Annotated[
        int | None,
        option(
            "--accumulate",
            "Sum gradients over this many groups of environments; saves memory.",
            "by size",
            metavar="K",
        ),
    ] = None,
    segment: Annotated[
        int | None,
        option(
            "--segment", "Timesteps whose activations learning keeps at once; saves memory.", "by size", metavar="S"
        ),
    ] = None,
    remat: Annotated[
        bool | None, typer.Option("--remat", help="Recompute activations in the backward pass; saves memory.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="GROUP.FIELD=VALUE", help="Any other field of the model, ppo or scenario configs."
        ),
    ] = None,
    published: Annotated[
        bool | None,
        typer.Option("--published", help="Published epochs and minibatches: Sable's, or MAT's for its kin."),
    ] = None,
    match: Annotated[
        Text, option("--match", "params: as many parameters as Sable in every model.", "as given", metavar="WHAT")
    ] = None,
    preset: Annotated[
        Text, typer.Option("--preset", metavar="NAME", help="Ready-made options; those given here win over it.")
    ] = None,
    timeout: Annotated[float | None, option("--timeout", "Seconds per point.", "120", metavar="SECONDS")] = None,
    memory_limit: Annotated[
        Text, option("--memory-limit", "Memory per point.", "8GiB, or 60 % of a smaller machine", metavar="SIZE")
    ] = None,
    keep_going: Annotated[
        bool | None,
        typer.Option("--keep-going", help="Also try what is larger than a point of its mode that ran out of memory."),
    ] = None,
    device: Annotated[Text, option("--device", "cpu, gpu or gpu:i.", "what jax finds", metavar="DEVICE")] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="RUN", help="Go on with a run: measure what is missing, with its options."),
    ] = None,
    retry: Annotated[
        Text,
        typer.Option(
            "--retry", metavar="LIST", help="With --resume, also what ended so: oom,timeout,error,crashed,skipped."
        ),
    ] = None,
    out: Annotated[Path | None, option("--out", "Folder of this run.", "runs/<time>-<scenario>", metavar="DIR")] = None,
    csv: Annotated[
        Text, typer.Option("--csv", metavar="FILE", help="Also write the results here; - is stdout.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 when a point failed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the grid and run nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Allow more than 10000 points.")] = False,
) -> int:
    """Train every model at every size, each point in a process of its own, and show what it cost.

    Lists (16,128) and ranges (1:10:3, 16:4096:x2; the end included) are multiplied into a grid.
    """
    from scaleprof.cli import sweeping
    from scaleprof.launch.pairs import find_version
    from scaleprof.points.options import DEFAULTS, option_name, plan_sweep
    from scaleprof.sweep.resuming import check_retry, plan_resume

    given = dict(locals())
    explicit = {name: given[name] for name in DEFAULTS}
    for name, value in {**explicit, "preset": preset, "csv": csv, "device": device}.items():
        if value == "":  # as of a variable of the shell that is not set
            raise UserError(f"{option_name(name)}: it is empty: give a value, or leave it out")
    again = check_retry(retry)
    if resume is not None:
        if out is not None:
            raise UserError(f"--out: a resumed run stays in its folder, {resume}: leave --out out")
        plan = plan_resume(resume, explicit, settings or [], preset, device=device)
        if dry_run:
            return sweeping.show_rest(plan, resume, retry=again)
        return sweeping.resume(plan, resume, retry=again, csv=csv, strict=strict)
    if again:
        raise UserError("--retry: there is nothing to try again in a new run: name one with --resume RUN")
    if against:
        find_version(against)
    plan = plan_sweep(explicit, settings or [], preset, yes=yes, device=device)
    if dry_run:
        return sweeping.show_grid(plan)
    return sweeping.run(plan, out=out, csv=csv, strict=strict)
