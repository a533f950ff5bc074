"""The rooms of the design and the budgets of the style, enforced on every file."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("auth", "gateway", "inference")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_NESTING = 3
MAX_POSITIONAL = 3
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "base"}
MAY_CATCH_EXCEPTION = {
    "gateway/dataplane/asgi.py",  # the ASGI boundary
    "gateway/dataplane/grpc_door.py",  # the gRPC boundary
    "gateway/coalescer.py",  # batch dispatch
    "gateway/models/keeper.py",  # following the records: whoever ended would hold everybody up
    "gateway/usage/writer_thread.py",  # batch dispatch, on the other side of the thread
    "inference/batch_run.py",  # batch dispatch
    "inference/batcher.py",  # batch dispatch
    "inference/vetter.py",  # loading a version: an engine may raise anything
}
SOURCES = sorted(
    path
    for package in (*PACKAGES, "benchmarks", "docs", "examples", "scripts", "tests")
    for path in (ROOT / package).rglob("*.py")
)
OWN_SOURCES = [path for path in SOURCES if path.relative_to(ROOT).parts[0] in PACKAGES]
FORBIDDEN_IMPORTS = {
    "auth": ("inference", "gateway", "fastapi", "starlette"),
    "inference": ("auth", "gateway", "fastapi", "starlette"),
}
NESTING = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)

per_file = pytest.mark.parametrize(
    "path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix()
)
per_own_file = pytest.mark.parametrize(
    "path", OWN_SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix()
)


def module_of(path: Path) -> str:
    """Name the module that a file defines."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    """List the modules that a file imports, ours as files, others by full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {_existing_module(name) for name in found}


def _existing_module(name: str) -> str:
    """Cut an imported name back to the module that it stands in, where that is ours."""
    if name.split(".", maxsplit=1)[0] not in PACKAGES:
        return name
    file = ROOT.joinpath(*name.split("."))
    is_module = file.with_suffix(".py").exists() or file.is_dir()
    return name if is_module else name.rpartition(".")[0]


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Walk every function and method of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def depth_of(node: ast.AST, *, depth: int = 0) -> int:
    """Measure how deep blocks stand inside each other; an `elif` is no deeper than its `if`."""
    deepest = depth
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST):
                continue
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            is_elif = isinstance(node, ast.If) and field == "orelse" and isinstance(child, ast.If)
            step = int(isinstance(child, NESTING) and not is_elif)
            deepest = max(deepest, depth_of(child, depth=depth + step))
    return deepest


@per_file
def test_file_is_within_its_budget(path: Path) -> None:
    """No file is longer than one sitting."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


@per_file
def test_functions_are_within_their_budgets(path: Path) -> None:
    """No function is long, deeply nested or called by more than three positions."""
    for function in functions_of(path):
        where = f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
        assert (function.end_lineno or 0) - function.lineno < MAX_FUNCTION_LINES, where
        assert depth_of(function) <= MAX_NESTING, where
        names = [argument.arg for argument in function.args.posonlyargs + function.args.args]
        assert len([name for name in names if name not in ("self", "cls")]) <= MAX_POSITIONAL, where


@per_own_file
def test_module_has_a_telling_name(path: Path) -> None:
    """No module is named for holding leftovers."""
    assert path.stem not in FORBIDDEN_NAMES


@per_own_file
def test_imports_stand_at_the_top(path: Path) -> None:
    """No import of our own hides inside a function, and none is only for the type checker."""
    for function in functions_of(path):
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                name = getattr(node, "module", None) or node.names[0].name
                assert name.split(".")[0] not in PACKAGES, f"{path}:{node.lineno}"
    assert "TYPE_CHECKING" not in path.read_text(encoding="utf-8")


@per_own_file
def test_exception_is_caught_in_few_places_only(path: Path) -> None:
    """A blanket handler stands at a boundary, at batch dispatch, and where versions are loaded."""
    blankets = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException"))
    ]
    assert not blankets or path.relative_to(ROOT).as_posix() in MAY_CATCH_EXCEPTION, blankets


@per_own_file
def test_pillars_do_not_know_each_other(path: Path) -> None:
    """`auth` and `inference` know neither each other nor the web; limits and usage stand apart."""
    module = module_of(path)
    imported = imports_of(path)
    forbidden = FORBIDDEN_IMPORTS.get(path.relative_to(ROOT).parts[0], ())
    assert not [name for name in imported if name.split(".")[0] in forbidden]
    for pillar in ("gateway.limits", "gateway.usage"):
        if module.startswith(pillar):
            own = [name for name in imported if name.split(".")[0] in (*PACKAGES, "fastapi")]
            allowed = (pillar, "gateway.coalescer")
            assert not [name for name in own if not name.startswith(allowed)]


def test_there_is_no_import_cycle() -> None:
    """The modules can be put in an order in which each needs only earlier ones."""
    graph = {
        module_of(path): {name for name in imports_of(path) if name.split(".")[0] in PACKAGES}
        for path in OWN_SOURCES
    }
    done: set[str] = set()
    while remaining := set(graph) - done:
        ready = {name for name in remaining if graph[name] & set(graph) <= done | {name}}
        assert ready, f"a cycle among {sorted(remaining)}"
        done |= ready
