"""The plan of the house, held by reading the imports: doors open verbs, verbs join frames and engine, ground is below."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tsn_frames"
# What each room may import from the package. Within a room's own wing see WITHIN.
GROUND = {"bulk", "errors", "secret", "wire", "parameters", "messages", "prices", "price_tables", "measure"}
ALLOWED = {
    "bulk": set(),
    "errors": set(),
    "secret": {"errors"},
    "wire": {"errors", "wire"},
    "parameters": {"errors"},
    "messages": {"errors", "parameters"},
    "price_tables": {"errors", "wire"},
    "price_sources": {"errors", "price_tables"},
    "prices": {"errors", "wire", "price_tables", "price_sources"},
    "measure": {"wire"},
    "frames": GROUND | {"frames", "engine.answers"},
    "engine": GROUND | {"engine"},
    "verbs": GROUND | {"frames", "engine", "verbs"},
    "plot": GROUND | {"engine", "verbs", "plot"},
    "accessor": {"verbs", "errors", "widget"},
    "widget": {"verbs", "engine", "errors", "settings", "widget"},
    "settings": {"engine", "errors", "secret"},
    "rehearsal": {"engine", "prices", "settings", "simulator"},
    "demo": {"rehearsal", "verbs", "engine", "settings", "errors", "simulator"},
    "__main__": {"simulator", "demo"},
    "__init__": {"accessor", "engine", "verbs", "errors", "plot", "prices", "settings", "rehearsal", "widget"},
    "simulator": {"simulator"},
}
# Each may import those after it, and the rest.
ENGINE = ["chat", "setup", "catalogue", "going", "streaming", "run", "sharing", "course", "sender", "record", "client"]
FOREIGN = {
    "httpx": {"engine/stock.py"},
    "httptools": {"engine/connection.py"},
    "msgspec": {"wire/answers.py"},
    "genai_prices": {"price_sources.py"},
    "diskcache": {"engine/store.py", "engine/writer.py"},
    "tqdm": {"engine/progress.py"},
    "matplotlib": {"plot/canvas.py"},
    "anywidget": {"widget/chat.py"},
    "markdown_it": {"widget/blocks.py"},
    "nh3": {"widget/blocks.py"},
    "pygments": {"widget/colours.py"},
}


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def imports(path):
    """Every import of a file, absolute, wherever it stands."""
    parts = ("tsn_frames", *path.relative_to(PACKAGE).with_suffix("").parts)
    package = parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            base = ".".join(p for p in (base, node.module) if p)
            yield from (f"{base}.{alias.name}" for alias in node.names) if base in ROOMS else [base]


ROOMS = {
    "tsn_frames",
    "tsn_frames.engine",
    "tsn_frames.frames",
    "tsn_frames.verbs",
    "tsn_frames.plot",
    "tsn_frames.widget",
    "tsn_frames.simulator",
    "tsn_frames.api",
}


def room(path):
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_from_below(path):
    for name in imports(path):
        if name.split(".")[0] == "tsn_frames":
            inner = name.removeprefix("tsn_frames").strip(".")
            allowed = ALLOWED[room(path)]
            assert any(inner == a or inner.startswith(f"{a}.") for a in allowed), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "engine").glob("*.py")), ids=lambda p: p.name)
def test_the_engine_builds_up_to_the_run(path):
    above = ENGINE[: ENGINE.index(path.stem)] if path.stem in ENGINE else ENGINE
    for name in imports(path):
        assert name not in {f"tsn_frames.engine.{a}" for a in above if a != path.stem}, f"{path.name} imports {name}"


def test_the_engine_knows_no_pandas_and_the_frames_no_network():
    for path in modules():
        found = {name.split(".")[0] for name in imports(path)}
        if room(path) == "engine" and path.name not in (
            "records.py",
            "history.py",
            "ledger.py",
            "cache.py",
        ):  # these make frames on demand
            assert not found & {"pandas", "numpy"}, path
        if room(path) == "frames":
            assert not found & {"httpx", "asyncio", "sqlite3", "diskcache"}, path


def test_each_foreign_library_has_one_door():
    for path in modules():
        found = {name.split(".")[0] for name in imports(path)}
        for library, doors in FOREIGN.items():
            assert library not in found or str(path.relative_to(PACKAGE)) in doors, f"{path} imports {library}"


def test_the_simulator_imports_nothing_but_the_standard_library():
    import sys

    for path in sorted((PACKAGE / "simulator").glob("*.py")):
        for name in imports(path):
            assert name.startswith("tsn_frames.simulator") or name.split(".")[0] in sys.stdlib_module_names, (
                f"{path.name}: {name}"
            )
