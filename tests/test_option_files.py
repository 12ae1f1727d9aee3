"""Sweeps that are written down: pyproject.toml, `--config` and presets, through the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from points import plan

from scaleprof.cli.app import main
from scaleprof.cli.sweep import SweepCommand
from scaleprof.errors import UserError
from scaleprof.points.axes import SweepRequest, rows
from scaleprof.points.option_files import preset_names, sources_of
from scaleprof.points.options import make_request, plan_sweep

ALL = (SweepRequest, SweepCommand)


def written(path: str, table: str, **options: object) -> None:
    """A TOML file with one table."""
    lines = [f"{name.replace('_', '-')} = {json.dumps(value)}" for name, value in options.items()]
    Path(path).write_text("\n".join([f"[{table}]", *lines, ""]))


def project(**options: object) -> None:
    written("pyproject.toml", "tool.scaleprof.sweep", **options)


def config(**options: object) -> None:
    written("mine.toml", "sweep", **options)


def dry_run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `--dry-run` shows, without line breaks."""
    assert main(["sweep", "--dry-run", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return " ".join(captured.out.split())


@pytest.mark.usefixtures("folder")
def test_each_place_overrides_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    project(agents="2", seq_len="2", envs="6", heads="2")
    written("preset.toml", "sweep", agents="3", seq_len="3", envs="8")
    config(agents="4", seq_len="4")
    shown = dry_run(capsys, "--agents", "5", "--config", "mine.toml", "--preset", "preset.toml")
    assert shown.startswith(
        "Options from pyproject.toml: heads 2; from preset preset.toml: envs 8; from --config mine.toml: seq-len 4 All"
    )
    for value in ("seq_len=4", "envs=8", "heads=2", "dtype=float32"):
        assert value in shown
    assert "1 sable factored 5 " in shown
    assert "Options" not in dry_run(capsys, *["--agents", "5", "--seq-len", "4", "--envs", "8", "--heads", "2"])


@pytest.mark.usefixtures("folder")
def test_the_nearest_project_with_the_table_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project(agents="3")
    Path("inner/deep").mkdir(parents=True)
    Path("inner/pyproject.toml").write_text('[tool.scaleprof.check]\nspeed = "5%"\n')
    monkeypatch.chdir("inner/deep")
    assert dry_run(capsys).startswith("Options from pyproject.toml: agents 3 ")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("value", "agents"), [("[2, 3]", {2, 3}), ('["2", 4]', {2, 4}), ("7", {7}), ('"1:3:1"', {1, 2, 3})]
)
def test_a_list_is_written_in_many_ways(value: str, agents: set[int]) -> None:
    Path("mine.toml").write_text(f"[sweep]\nagents = {value}\n")
    request = make_request({}, sources=sources_of(None, Path("mine.toml"), Path()))
    assert {point.agents for point in plan_sweep(request).points} == agents


EXAMPLES = {str: "16", bool: True, int: 2, float: 1.5, tuple: ["ppo.clip=0.1"], Path: "a/b"}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", [name for kind in ALL for name, row in rows(kind).items() if row.in_files])
def test_any_option_can_stand_in_a_file_and_only_with_its_type(name: str) -> None:
    outcomes = []
    for value in EXAMPLES.values():
        config(**{name: value})
        try:
            sources_of(None, Path("mine.toml"), Path.cwd(), ALL)
        except UserError as error:
            outcomes.append(f"{value!r} is not " in str(error))
        else:
            outcomes.append(False)
    assert 0 < sum(outcomes) < len(EXAMPLES)


@pytest.mark.usefixtures("folder")
def test_options_of_the_command_itself(capsys: pytest.CaptureFixture[str]) -> None:
    project(yes=True)
    assert "15006 points" in dry_run(capsys, "--agents", "1:2501:1")


BAD = [
    ('agnets = "2"', "unknown option 'agnets': did you mean 'agents'? See scaleprof sweep --help"),
    ('seq_len = "2"', "unknown option 'seq_len': did you mean 'seq-len'? See scaleprof sweep --help"),
    ("xyzzy = 1", "unknown option 'xyzzy': see scaleprof sweep --help"),
    ('resume = "run"', "unknown option 'resume': it is for the command line only; see scaleprof sweep --help"),
    ("timeout = true", "timeout: True is not a number"),
    ("epochs = 1.5", "epochs: 1.5 is not a whole number"),
    ('keep-going = "yes"', "keep-going: 'yes' is not true or false"),
    ("agents = [true]", 'agents: [True] is not a string, such as "16,128"'),
    ("model = []", 'model: [] is not a string, such as "16,128"'),
    ('set = "ppo.clip=1"', "set: 'ppo.clip=1' is not a list of texts"),
    ('model = ""', "model: must not be empty: give a value or omit it"),
]


@pytest.mark.parametrize(("line", "said"), BAD, ids=[line for line, _ in BAD])
@pytest.mark.parametrize("place", ["--config", "--preset", "pyproject.toml"])
def test_bad_options(capsys: pytest.CaptureFixture[str], folder: Path, place: str, line: str, said: str) -> None:
    name = "pyproject.toml" if place == "pyproject.toml" else "mine.toml"
    table = "tool.scaleprof.sweep" if place == name else "sweep"
    Path(name).write_text(f"[{table}]\n{line}\n")
    assert main(["sweep", *([] if place == name else [place, name])]) == 2
    captured = capsys.readouterr()
    where = f"{folder / name}, [{table}]" if place == name else f"{place}: {name}, [{table}]"
    assert captured.err.startswith(f"scaleprof: {where}")
    assert said in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read (No such file or directory): name a TOML file"),
        (b"[sweep", "not valid TOML (Expected ']' at the end of a table declaration (at end of document))"),
        (b"\xff\xfe", "not valid TOML ('utf-8' codec can't decode byte 0xff in position 0"),
        (b"sweep = 3", "sweep is not a table: write [sweep] and the options below"),
        (b"agents = 3", "there is no table [sweep]: write the options below that line"),
        (b"[sweeep]\nagents = 3", "there is no table [sweep]: write the options below that line"),
        (b"[sweep]\n[sweeep]\nagents = 3", "unknown table [sweeep]: all options stand in [sweep]"),
        (b"[[sweeps]]\n[sweep]\nagents = 3", "unknown table [sweeps]: all options stand in [sweep]"),
        (b"heads = 2\n[sweep]\nagents = 3", "'heads' stands before [sweep]: write the options below that line"),
    ],
)
@pytest.mark.parametrize("option", ["--config", "--preset"])
def test_bad_files(
    capsys: pytest.CaptureFixture[str], folder: Path, option: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        Path("mine.toml").write_bytes(content)
    before = list(folder.iterdir())
    assert main(["sweep", option, "mine.toml"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"scaleprof: {option}: mine.toml: {said}")
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert list(folder.iterdir()) == before


MISSPELT = [
    ("tool.scaleprof.sweeep", "[tool.scaleprof.sweeep]: did you mean 'sweep'? Choose from: check, sweep"),
    ("tool.scaleprof.chek", "[tool.scaleprof.chek]: did you mean 'check'? Choose from: check, sweep"),
    ('tool.scaleprof.chek."agents>16"', "[tool.scaleprof.chek]: did you mean 'check'?"),
    ("tool.scaleprof", "[tool.scaleprof.heads]: choose from: check, sweep"),
    ("tool.scalprof.check", "[tool.scalprof]: did you mean [tool.scaleprof]?"),
    ("tool.scale-prof.sweep", "[tool.scale-prof]: did you mean [tool.scaleprof]?"),
    ("scaleprof.check", "[scaleprof]: did you mean [tool.scaleprof]?"),
]


@pytest.mark.parametrize(("table", "said"), MISSPELT)
@pytest.mark.parametrize("command", ["sweep", "check a b"])
def test_a_misspelt_table_is_not_ignored(
    capsys: pytest.CaptureFixture[str], folder: Path, table: str, said: str, command: str
) -> None:
    written("pyproject.toml", table, heads="2")
    assert main(command.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"scaleprof: {folder / 'pyproject.toml'}: unknown table {said}")
    assert captured.err.count("\n") == 1


@pytest.mark.usefixtures("folder")
def test_tables_of_other_tools_are_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text('[tool.scalene]\n[tool.pyprof]\n[tool.scaleprof.sweep]\nagents = "3"\n')
    assert dry_run(capsys).startswith("Options from pyproject.toml: agents 3 ")


@pytest.mark.parametrize("kind", ["pipe", "device", "link to a pipe"])
@pytest.mark.parametrize("command", ["sweep --config", "sweep --preset"])
def test_no_pipe_or_device_is_opened(capsys: pytest.CaptureFixture[str], folder: Path, kind: str, command: str) -> None:
    if kind == "device":
        Path("mine.toml").symlink_to("/dev/zero")
    else:
        os.mkfifo("pipe.toml" if kind == "link to a pipe" else "mine.toml")
    if kind == "link to a pipe":
        Path("mine.toml").symlink_to("pipe.toml")
    assert main([*command.split(), "mine.toml"]) == 2
    assert "mine.toml: cannot be read (it is a pipe or a device, not a file)" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_a_value_that_means_nothing_is_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    project(agents="many")
    assert main(["sweep"]) == 2
    assert capsys.readouterr().err.startswith("scaleprof: pyproject.toml: --agents: 'many' is not a whole number")
    assert main(["sweep", "--agents", "none"]) == 2
    assert capsys.readouterr().err.startswith("scaleprof: --agents: 'none' is not a whole number")


@pytest.mark.usefixtures("folder")
def test_what_an_option_implies_yields_to_what_the_same_file_says() -> None:
    def planned(given: dict[str, Any], preset: str | None = None, **options: object) -> Any:
        config(**options)
        request = make_request(given, preset, sources=sources_of(preset, Path("mine.toml"), Path.cwd()))
        return plan_sweep(request).points[0]

    assert planned({}, model="mat", published=True).epochs == 5
    assert planned({}, model="mat", published=True).ppo_config().learning_rate == 5e-4
    assert planned({}, model="mat", published=True, set=("ppo.clip=0.3",)).ppo_config().clip == 0.3
    assert planned({}, model="mat").ppo_config() == planned({}, model="sable:factored").ppo_config()
    assert planned({}, model="mat", published=True, epochs=2).epochs == 2
    assert planned({"published": True}, model="mat", epochs=2).epochs == 5
    assert planned({}, "paper-neom", model="mat", epochs=2).epochs == 2
    assert planned({"scenario": "rware:tiny-2ag"}, agents="9").agents == 2
    with pytest.raises(UserError, match=r"^--agents: agents is 9: scenario rware:tiny-2ag takes exactly 2"):
        planned({}, scenario="rware:tiny-2ag", agents="9")


@pytest.mark.usefixtures("folder")
def test_the_manifest_says_where_options_came_from() -> None:
    Path("secret-place").mkdir()
    written("secret-place/own.toml", "sweep", agents="2", envs="2")
    project(heads="2", envs="4")
    sources = sources_of(str(Path("secret-place/own.toml").absolute()), None, Path.cwd())
    manifest = plan_sweep(make_request({"agents": "3"}, str(Path("secret-place/own.toml")), sources=sources)).manifest
    assert manifest["preset"] == "own.toml"
    assert manifest["sources"] == {"pyproject.toml": ["heads"], "preset own.toml": ["envs"]}
    assert "secret-place" not in json.dumps(manifest)
    assert plan({"agents": "2"}).manifest["sources"] == {}


def test_presets_are_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    assert main(["list", "presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == preset_names()
    default = lines.index("default: The defaults of a sweep without options, as a preset to start from")
    assert lines[default + 1].startswith("    options: scenario neom, agents 16,128,1024, seq-len 16")


@pytest.mark.usefixtures("folder")
def test_options_about_results_are_among_those_that_come_from_files(capsys: pytest.CaptureFixture[str]) -> None:
    config(agents="2", model="ippo", csv="a.csv", yes=True, strict=True, out="there")
    assert main(["sweep", "--config", "mine.toml", "--dry-run", "--csv", "b.csv"]) == 0
    said = capsys.readouterr()
    first = (said.out + said.err).splitlines()[0]
    assert first == "Options from --config mine.toml: agents 2, model ippo, yes yes, strict yes, out there"
