"""The command line: text in, frozen options out, an exit code back. Everything heavy is imported where it is used."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaleprof import __version__, check_commands, report_commands
from scaleprof.errors import INTERRUPTED, UserError
from scaleprof.output import replace_what_cannot_be_written

if TYPE_CHECKING:
    from scenarios import ScenarioEntry

app = typer.Typer(
    name="scaleprof",
    help="Which sequence model fits my memory, and how fast does it learn at 16, 128, 1024, 4096 agents?",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]


def run() -> None:
    """The console script."""
    sys.exit(main())


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command line; returns the exit code (see the README's table)."""
    given = sys.argv[1:] if arguments is None else arguments
    replace_what_cannot_be_written()
    if os.environ.get("COLUMNS") == "0":  # rich would print nothing at all
        del os.environ["COLUMNS"]
    try:
        result = app(given or ["--help"], prog_name="scaleprof", standalone_mode=False)
    except UserError as error:
        return _fail(str(error), error.exit_code)
    except _USAGE_ERROR as error:
        return _fail(f"{error.format_message()} ('scaleprof --help' lists what there is)", 2)  # type: ignore[attr-defined]
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as end:
        if end.code != 1:
            raise
        return 0  # so Typer and rich end when whoever read our output has gone (`| head`): they had enough
    except OSError as error:
        return _fail(f"cannot write the output: {error.strerror or error}", 2)
    except Exception as error:  # not 1, which says that a regression was found
        if os.environ.get("SCALEPROF_TRACEBACK"):
            raise
        return _fail(f"this is a bug in scaleprof: {_described(error)}; SCALEPROF_TRACEBACK=1 shows all of it", 2)
    return result if isinstance(result, int) else 0


def _described(error: Exception) -> str:
    """Which exception it is and where it was raised, on one line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"


def _fail(message: str, code: int) -> int:
    typer.echo(f"scaleprof: {' '.join(message.split())}", err=True)
    return code


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


Text = str | None


def _axis(name: str, text: str, default: str, *, metavar: str = "LIST") -> Any:
    return typer.Option(name, help=f"{text} [default: {default}]", metavar=metavar, show_default=False)


@app.command(short_help="Train every model at every size; show what it cost.")
def sweep(
    agents: Annotated[Text, _axis("--agents", "Agent counts: 16,128 or 16:4096:x2.", "16,128,1024")] = None,
    seq_len: Annotated[Text, _axis("--seq-len", "Timesteps of a rollout.", "16")] = None,
    scenario: Annotated[Text, _axis("--scenario", "Environment, or NAME:TASK.", "neom", metavar="NAME")] = None,
    reward: Annotated[
        Text, _axis("--reward", "Team mean (shared) or each agent's own (individual).", "by scenario", metavar="KIND")
    ] = None,
    batching: Annotated[
        Text,
        _axis("--batching", "Step environments by vmap or map; auto tries both.", "by scenario", metavar="HOW"),
    ] = None,
    reset: Annotated[
        Text,
        _axis("--reset", "New episodes from a pool of starts, or exact.", "by scenario", metavar="HOW"),
    ] = None,
    model: Annotated[Text, _axis("--model", "Models, or pairs such as sable:chunkwise,mat:dense.", "sable,mat")] = None,
    mode: Annotated[Text, _axis("--mode", "Keep only these modes.", "each model's own")] = None,
    chunk: Annotated[Text, _axis("--chunk", "Timesteps per chunk, for chunkwise modes.", "1")] = None,
    envs: Annotated[Text, _axis("--envs", "Environments stepped together.", "4")] = None,
    embed_dim: Annotated[Text, _axis("--embed-dim", "Embedding width.", "64")] = None,
    heads: Annotated[Text, _axis("--heads", "Heads.", "4")] = None,
    blocks: Annotated[Text, _axis("--blocks", "Encoder and decoder blocks, or hidden layers.", "1")] = None,
    dtype: Annotated[Text, _axis("--dtype", "Precision of matrix products: float32, bfloat16.", "float32")] = None,
    seed: Annotated[Text, _axis("--seed", "Random seeds.", "0")] = None,
    repeats: Annotated[int | None, _axis("--repeats", "Processes per point.", "1", metavar="N")] = None,
    epochs: Annotated[int | None, _axis("--epochs", "Passes over each rollout.", "1", metavar="N")] = None,
    minibatches: Annotated[int | None, _axis("--minibatches", "Groups of environments.", "2", metavar="N")] = None,
    measure: Annotated[
        Text,
        _axis(
            "--measure",
            "memory,speed: each in a process of its own, so that memory repeats exactly.",
            "together",
            metavar="WHAT",
        ),
    ] = None,
    min_updates: Annotated[
        int | None, _axis("--min-updates", "Updates that are measured, at least.", "3", metavar="N")
    ] = None,
    min_seconds: Annotated[
        float | None, _axis("--min-seconds", "Seconds that they take, at least.", "1", metavar="SECONDS")
    ] = None,
    warmup_updates: Annotated[
        int | None,
        _axis("--warmup-updates", "Updates before, not measured, at least; more until times settle.", "4", metavar="N"),
    ] = None,
    pin: Annotated[Text, _axis("--pin", "Cores to keep every point to: 0 or 0,1.", "all", metavar="CORES")] = None,
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
        _axis(
            "--acting",
            "Agent after agent, or fixed_point: all at once until none changes.",
            "sequential",
            metavar="WAY",
        ),
    ] = None,
    accumulate: Annotated[
        int | None,
        _axis(
            "--accumulate",
            "Sum gradients over this many groups of environments; saves memory.",
            "by size",
            metavar="K",
        ),
    ] = None,
    segment: Annotated[
        int | None,
        _axis("--segment", "Timesteps whose activations learning keeps at once; saves memory.", "by size", metavar="S"),
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
        Text, _axis("--match", "params: as many parameters as Sable in every model.", "as given", metavar="WHAT")
    ] = None,
    preset: Annotated[
        Text, typer.Option("--preset", metavar="NAME", help="Ready-made options; those given here win over it.")
    ] = None,
    timeout: Annotated[float | None, _axis("--timeout", "Seconds per point.", "120", metavar="SECONDS")] = None,
    memory_limit: Annotated[
        Text, _axis("--memory-limit", "Memory per point.", "8GiB, or 60 % of a smaller machine", metavar="SIZE")
    ] = None,
    keep_going: Annotated[
        bool | None,
        typer.Option("--keep-going", help="Also try what is larger than a point of its mode that ran out of memory."),
    ] = None,
    device: Annotated[Text, _axis("--device", "cpu, gpu or gpu:i.", "what jax finds", metavar="DEVICE")] = None,
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
    out: Annotated[Path | None, _axis("--out", "Folder of this run.", "runs/<time>-<scenario>", metavar="DIR")] = None,
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
    from scaleprof import sweeping
    from scaleprof.options import DEFAULTS, option_name, plan_sweep
    from scaleprof.resuming import check_retry, plan_resume

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
    plan = plan_sweep(explicit, settings or [], preset, yes=yes, device=device)
    if dry_run:
        return sweeping.show_grid(plan)
    return sweeping.run(plan, out=out, csv=csv, strict=strict)


report_commands.register(app)


@app.command("list", short_help="List models or scenarios.")
def list_(what: Annotated[str, typer.Argument(metavar="models|scenarios", help="What to list.")]) -> int:
    """List the models with their modes, or the scenarios with their tasks."""
    from sable.models import MODELS
    from scaleprof.parsing import nearest
    from scenarios import SCENARIOS

    if what not in ("models", "scenarios"):
        raise UserError(f"list: there is no list of '{what}': {nearest(what, ('models', 'scenarios'))}")
    if what == "models":
        for model in MODELS.values():
            _echo_entry(
                f"{model.name}: {model.summary}",
                f"modes: {', '.join(model.modes) or 'none'}",
                f"parameters on neom with --embed-dim 64, 4 heads, 1 block: {model.parameters:,}",
                *model.complexity,
            )
    else:
        for scenario in SCENARIOS.values():
            _echo_entry(
                f"{scenario.name}: {scenario.summary}",
                f"tasks: {', '.join(_task(scenario, task) for task in scenario.tasks)}",
                f"agents: {scenario.min_agents} to {scenario.max_agents}, sensible up to "
                f"{scenario.sensible_agents or scenario.max_agents}",
                f"scaling rule: {scenario.scaling_rule}",
                f"observation: {scenario.observation}",
                f"actions: {scenario.actions}",
            )
    return 0


def _task(scenario: ScenarioEntry, task: str) -> str:
    """A task with its number of agents, if it has its own."""
    agents = dict(scenario.fixed_agents).get(task)
    return task if agents is None else f"{task} ({agents} agents)"


def _echo_entry(head: str, *details: str) -> None:
    """An entry of a list, its details set in, lines wrapped to the terminal (80 columns where there is none)."""
    width = max(shutil.get_terminal_size().columns, 20)
    for line in (head, *(f"    {detail}" for detail in details)):
        typer.echo("\n".join(textwrap.wrap(line, width, subsequent_indent=" " * 8, break_on_hyphens=False)))


@app.command(short_help="Say what can be measured on this machine, or check a scenario.")
def doctor(
    device: Annotated[Text, _axis("--device", "cpu, gpu or gpu:i.", "what jax finds", metavar="DEVICE")] = None,
    scenario: Annotated[
        Text,
        typer.Option(
            "--scenario", metavar="NAME", help="Play this environment, or your own module:function, and check it."
        ),
    ] = None,
    agents: Annotated[
        int | None, _axis("--agents", "Its number of agents.", "4, or what it needs", metavar="N")
    ] = None,
) -> int:
    """Say what is installed, which devices there are, and what can be measured here.

    With --scenario, say what is wrong with that scenario instead, a line each; exit with 2 if anything is.
    """
    from scaleprof.diagnosis import check_scenario, diagnose
    from scaleprof.options import check_device

    device = check_device(device)
    if scenario is not None:
        return check_scenario(scenario, agents, device)
    if agents is not None:
        raise UserError("--agents: there is no scenario to check: name one with --scenario")
    return diagnose(device)


check_commands.register(app)
