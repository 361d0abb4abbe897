"""The imports of the package, held against the table in the docs: which package may import which, and no cycle anywhere."""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tsn_frames"
TABLE = ROOT / "docs" / "explanation" / "architecture.md"
NO_PANDAS_IN_ENGINE_BUT = {"frames.py", "utc_time_column.py", "ledger.py", "cache.py"}  # these make frames when one is asked for
ONE_IMPORTER = {
    "httpx": {"engine/transport/httpx_backend.py", "engine/transport/environment.py"},
    "httptools": {"engine/transport/connection.py"},
    "msgspec": {"api/completion.py", "verbs/extract/classes.py", "verbs/extract/field.py"},
    "genai_prices": {"pricing/load_prices.py"},
    "diskcache": {"engine/cache/store.py"},
    "tqdm": {"engine/progress/progress_bar.py"},
    "matplotlib": {"plot/axes.py"},
    "anywidget": {"widget/page_widget.py"},
    "latex2mathml": {"widget/rendering/mathml.py"},
    "markdown_it": {"widget/rendering/markdown.py", "widget/rendering/markdown_rules.py"},
    "nh3": {"widget/rendering/markdown.py"},
    "pygments": {"widget/rendering/highlight.py"},
}


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imports(module):
    """Every import of a module, absolute, wherever it stands in the file."""
    path, found = MODULES[module], set()
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else base for name in names}
    return frozenset(found - {module})


def inside(module):
    return {name for name in imports(module) if name in MODULES}


def package_of(module):
    """Return the row of the table that a module belongs to: ``engine.cache``, ``verbs.complete``, ``frames``."""
    parts = module.split(".")[1:] or ["__init__"]
    return ".".join(parts[: 2 if parts[0] in ("engine", "verbs") else 1])


def allowed():
    """Return the table of the docs: package -> packages that it may import."""
    rows = re.findall(r"^\| `([\w.]+)` \| ([^|]*) \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    return {package: set(re.findall(r"`([\w.]+)`", names)) for package, names in rows}


def cycle(graph):
    """Return one cycle of a graph, or an empty list."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        path.append(node)
        found = next(filter(None, map(visit, sorted(graph[node]))), [])
        path.pop()
        done.add(node)
        return found

    return next(filter(None, map(visit, sorted(graph))), [])


def closure(module):
    """Return all modules of the package that importing a module may bring in, in whatever function."""
    found, left = set(), [module]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left.extend(inside(name))
    return found


@pytest.mark.parametrize(
    "module", [name for name in MODULES if name not in ("tsn_frames", "tsn_frames.engine", "tsn_frames.verbs")]
)
def test_a_package_imports_only_what_the_table_allows(module):
    mine, table = package_of(module), allowed()
    assert mine in table, f"{mine} is missing in the table of {TABLE.name}"
    used = {package_of(name) for name in inside(module)} - {mine}
    assert used <= table[mine], f"{module} imports {sorted(used - table[mine])}, which the table of {TABLE.name} doesn't allow"


def test_the_table_allows_nothing_that_no_module_uses():
    used = {}
    for module in MODULES:
        used.setdefault(package_of(module), set()).update(package_of(name) for name in inside(module))
    for package, names in allowed().items():
        assert names <= used[package], f"{package} doesn't import {sorted(names - used[package])}"


def test_no_modules_and_no_packages_import_each_other_in_a_circle():
    assert cycle({module: inside(module) - {"tsn_frames"} for module in MODULES}) == []
    assert cycle(allowed()) == []


def test_frames_need_no_network_no_limits_and_no_storage():
    for module in MODULES:
        if package_of(module) == "frames":
            needed = {package_of(name) for name in closure(module)}
            assert not needed & {"engine.transport", "engine.limits", "engine.storage"}, module
            assert not {n.split(".")[0] for n in imports(module)} & {"httpx", "asyncio", "sqlite3", "diskcache"}, module


def test_the_engine_knows_no_pandas():
    for module, path in MODULES.items():
        if package_of(module).startswith("engine.") and path.name not in NO_PANDAS_IN_ENGINE_BUT:
            assert not {name.split(".")[0] for name in imports(module)} & {"pandas", "numpy"}, module


def test_each_foreign_library_is_imported_in_one_place():
    for module, path in MODULES.items():
        found = {name.split(".")[0] for name in imports(module)}
        for library, importers in ONE_IMPORTER.items():
            assert library not in found or str(path.relative_to(PACKAGE)) in importers, f"{module} imports {library}"


def test_the_simulator_imports_nothing_but_the_standard_library():
    for module in MODULES:
        if package_of(module) == "simulator":
            for name in imports(module):
                assert name.startswith("tsn_frames.simulator") or name.split(".")[0] in sys.stdlib_module_names, (module, name)


def test_no_folder_is_longer_than_a_reader_takes_in():
    for folder in {path.parent for path in MODULES.values()}:
        if folder.name != "simulator":
            files = [path.name for path in folder.iterdir() if path.is_file() and path.name != "py.typed"]
            assert len(files) <= 12, f"{folder} has {len(files)} files"
    assert {path.name for path in (PACKAGE / "engine").iterdir() if path.suffix == ".py"} == {
        "__init__.py", "outcomes.py", "retry.py",
    }  # fmt: skip


def test_no_module_is_called_like_one_of_the_standard_library():
    named = {name.rsplit(".", 1)[-1] for name in MODULES}
    assert not named & (set(sys.stdlib_module_names) - {"__main__"})
