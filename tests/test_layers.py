"""Which package may import which, and that jax stays out of the process that people wait for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

from sable.models import MODELS

ROOT = Path(__file__).parents[1]
TEXTS = (".html", ".md", ".py", ".txt")
MACHINE_FOLDER = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|work|Users)/[^\s<]*")
OURS = ("sable", "scenarios", "scaleprof", "reports")
MAY_IMPORT = {
    "sable": (),
    "reports": (),
    "scenarios": ("sable.types",),
    "scaleprof": ("sable", "scenarios", "reports"),
}
HEAVY = ("jax", "jaxlib", "flax", "optax", "jumanji", "numpy")
INSIDES = ("sable.mixers", "sable.networks", "sable.policies", "sable.layers")
ALGORITHMS = ("flax", "optax", "jumanji")
CHILD_ONLY = ("scaleprof.worker",)
"""What of the tool runs in a child process only, and so may import jax at its top."""


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(node: ast.Import | ast.ImportFrom, path: Path) -> list[str]:
    """The full names that one statement imports: modules, and module.name for each name of `from`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    module = node.module or ""
    if node.level:
        package = dotted(path) if path.name == "__init__.py" else dotted(path).rpartition(".")[0]
        module = resolve_name("." * node.level + module, package)
    return [f"{module}.{alias.name}" for alias in node.names]


def imports(path: Path) -> list[str]:
    """Everything that a file imports anywhere, and the modules of "module:function" texts that it resolves later."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names += imported(node, path)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            module, colon, function = node.value.partition(":")
            if colon and function.isidentifier() and all(part.isidentifier() for part in module.split(".")):
                names.append(module)
    return names


def imports_when_loaded(path: Path) -> list[str]:
    """What a file imports when it is imported itself: not in functions, not for type checkers."""

    def walk(nodes: Iterable[ast.AST]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                yield from imported(node, path)
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                yield from walk(node.orelse)
            elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                yield from walk(ast.iter_child_nodes(node))

    return list(walk(ast.parse(path.read_text(encoding="utf-8")).body))


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("package", OURS)
def test_packages_import_only_what_lies_below(package: str) -> None:
    assert modules(package)
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imports(path)
        if within(name, OURS) and not within(name, (package, *MAY_IMPORT[package]))
    ]
    assert not wrong


def test_reports_never_imports_what_computes() -> None:
    computing = tuple(name for name in HEAVY if name != "numpy")
    wrong = [
        f"{dotted(path)}: {name}"
        for path in modules("reports")
        for names, heavy in ((imports(path), computing), (imports_when_loaded(path), ("numpy", "scipy")))
        for name in names
        if within(name, heavy)
    ]
    assert not wrong


def test_the_tool_imports_no_algorithm_library() -> None:
    wrong = [
        f"{dotted(path)}: {name}" for path in modules("scaleprof") for name in imports(path) if within(name, ALGORITHMS)
    ]
    assert not wrong


def test_the_tool_imports_jax_only_where_the_child_runs() -> None:
    """In `scaleprof/`, only `worker/` and the probes import jax; a probe does so inside its functions."""
    wrong = [
        f"{dotted(path)}: {name}"
        for path in modules("scaleprof")
        if not within(dotted(path), CHILD_ONLY)
        for probe in [within(dotted(path), ("scaleprof.probes",))]
        for name in (imports_when_loaded(path) if probe else imports(path))
        if within(name, HEAVY if probe else (*(h for h in HEAVY if h != "numpy"), *CHILD_ONLY))
    ]
    assert not wrong


def test_the_sweep_knows_only_the_launcher() -> None:
    """Another way to measure points is one more file in `launch/`."""
    seam = tuple(f"scaleprof.launch.{name}" for name in ("launcher", "stopping", "protocol", "facts"))
    wrong = [
        f"{dotted(path)}: {name}"
        for path in modules("scaleprof/sweep")
        for name in imports(path)
        if within(name, ("scaleprof.launch", "subprocess")) and not within(name, seam)
    ]
    assert not wrong


def circular(package: str) -> list[str]:
    """The modules of a package that import each other in a circle when they are loaded."""
    names = {dotted(path) for path in modules(package)}
    needs = {
        dotted(path): {
            known for name in imports_when_loaded(path) for known in (name, name.rpartition(".")[0]) if known in names
        }
        - {dotted(path)}
        for path in modules(package)
        if path.name != "__init__.py"
    }
    while free := [name for name, needed in needs.items() if not needed & needs.keys()]:
        for name in free:
            del needs[name]
    while free := [name for name in needs if not any(name in needed for needed in needs.values())]:
        for name in free:
            del needs[name]
    return sorted(needs)


@pytest.mark.parametrize("package", OURS)
def test_imports_have_no_circles(package: str) -> None:
    assert circular(package) == []


def test_points_are_plain_data() -> None:
    wrong = [
        f"{dotted(path)}: {name}"
        for path in modules("scaleprof/points")
        for name in imports(path)
        if within(name, (*HEAVY, "subprocess", "scaleprof.launch", "scaleprof.worker", "scaleprof.sweep"))
    ]
    assert not wrong


def texts(path: Path) -> list[str]:
    """The strings of a file's code: no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in bare]
    return [node.value for node in constants if isinstance(node.value, str)]


def test_the_tool_knows_no_model_and_no_mixer() -> None:
    """What it must know of one is in the registry's row or in the policy's contract; defaults are pairs of names."""
    names = {*MODELS, *(mode for entry in MODELS.values() for mode in entry.modes)}
    kept = ("sable.policies.cost_hints", "sable.policies.cost_hints.cost_hints")
    wrong = [
        f"{dotted(path)}: {found}"
        for path in modules("scaleprof")
        for found in (
            *(text for text in texts(path) if text in names),
            *(name for name in imports(path) if within(name, INSIDES) and name not in kept),
        )
    ]
    assert wrong == []


def test_every_text_but_docstrings_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text('"""a"""\nx = "b"\n"""c"""\ndef f(y="d"):\n    """e"""\n    return y == "g", f"{y}h"\n')
    assert sorted(texts(file)) == ["b", "d", "g", "h"]


def test_options_come_before_the_registry() -> None:
    """`sable.config` and the options of mixers are plain data that the registry checks, not the other way round."""
    for path in (ROOT / "sable/config.py", ROOT / "sable/mixers/mixer_options.py", ROOT / "sable/option_checks.py"):
        assert not [name for name in imports(path) if within(name, ("sable.models", "sable.types", *HEAVY))]


def test_no_two_files_or_public_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for package in OURS:
        for path in modules(package):
            if path.name not in ("__init__.py", "__main__.py"):
                places.setdefault(path.name, []).append(dotted(path))
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(dotted(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_only_probes_read_clocks_of_what_is_measured() -> None:
    wrong = [
        f"{dotted(path)}: {name}"
        for package in ("sable", "scenarios")
        for path in modules(package)
        for name in imports(path)
        if within(name, ("time", "timeit", "psutil", "resource", "memory_profiler", "typer", "rich", "csv", "logging"))
    ]
    assert not wrong


def wall_clocks(path: Path) -> list[str]:
    """Where a file asks what time it is by a clock that people or the network may set."""
    names = {"time", "time_ns", "localtime", "gmtime", "CLOCK_REALTIME"}
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "time":
            found += [f"{path.name}:{node.lineno}: time.{node.attr}"] if node.attr in names else []
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found += [f"{path.name}:{node.lineno}: {alias.name}" for alias in node.names if alias.name in names]
        elif isinstance(node, ast.Import):
            found += [
                f"{path.name}:{node.lineno}: {a.name} as {a.asname}"
                for a in node.names
                if a.name == "time" != (a.asname or "time")
            ]
    return found


def test_durations_do_not_follow_the_wall_clock() -> None:
    assert [found for path in modules("scaleprof") for found in wall_clocks(path)] == []


def test_every_way_to_the_wall_clock_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(
        "import time\nfrom time import time_ns, monotonic\nimport time as t\nt0 = time.time()\ntime.monotonic()\n"
    )
    assert sorted(wall_clocks(file)) == ["example.py:2: time_ns", "example.py:3: time as t", "example.py:4: time.time"]


def test_the_check_sees_every_kind_of_import(tmp_path: Path) -> None:
    path = ROOT / "scaleprof" / "probes" / "example.py"
    code = "import a.b as c\nfrom d import e\nfrom . import f\nfrom ..g import h\n"
    nodes = [node for node in ast.parse(code).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert [name for node in nodes for name in imported(node, path)] == [
        "a.b",
        "d.e",
        "scaleprof.probes.f",
        "scaleprof.g.h",
    ]
    file = tmp_path / "example.py"
    file.write_text("if TYPE_CHECKING:\n    import a\nelse:\n    import b\ndef f():\n    import c\nx = 'd.e:f'\n")
    assert imports_when_loaded(file) == ["b"]


@pytest.mark.parametrize(
    "code",
    [
        "import reports, reports.render.terminal, reports.render.check_exports, reports.render.markdown",
        "from sable import MODELS, ModelConfig, PPOConfig, build_policy; import scenarios, scenarios.configs",
        "import scaleprof.cli",
        "import scaleprof.cli.run_sweep, scaleprof.cli.diagnosis, scaleprof.worker.entry",
        "from scaleprof.cli import main; assert main(['--help']) == 0",
        "from scaleprof.cli import main; assert main(['sweep', '--help']) == 0",
        "from scaleprof.cli import main; assert main(['sweep', '--dry-run']) == 0",
        "from scaleprof.cli import main; assert main(['sweep', '--preset', 'paper-neom', '--dry-run']) == 0",
        "from scaleprof.cli import main; assert main(['list', 'models']) == main(['list', 'scenarios']) == 0",
        "from scaleprof.cli import main; assert main(['sweep', '--envs', '3']) == 2",
        "from scaleprof.cli import main; assert main(['report', 'nowhere']) == 2",
        "from scaleprof.cli import main; assert main(['check', 'nowhere', 'nowhere']) == 2",
    ],
)
def test_jax_is_not_imported(code: str) -> None:
    heavy = [name for name in HEAVY if name != "numpy"]
    check = f"{code}\nimport sys\nprint('loaded:', *[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"


@pytest.mark.parametrize("command", [["--help"], ["sweep", "--help"]])
def test_help_loads_little(command: list[str]) -> None:
    code = (
        f"from scaleprof.cli import main; main({command})\n"
        "import sys\nprint('loaded:', *[name for name in ('numpy', 'psutil', 'rich', 'sable') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_documents_name_no_folder_of_a_machine() -> None:
    """Pages and logs of real runs hold where they were made; those that are shown as examples must not."""
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*") if path.suffix in TEXTS}
    assert any(path.name == "report.html" for path in texts)
    named = {path.name: found[0] for path, text in texts.items() if (found := MACHINE_FOLDER.search(text))}
    assert named == {}
