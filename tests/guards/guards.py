#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that each guard of the collection is held by a test: disables it in a copy and demands that a test fails.

    python tests/guards/guards.py                 all of them, one line a guard, and `N passed, N failed`
    python tests/guards/guards.py preflight port  those whose line contains all of these words

The guards are listed in ``catalogue.py``. A guard passes when its tests pass with it, and one of them fails (rather
than cannot be collected) without it. Every place in :data:`COMPLETE` that reports a problem must have a guard, so that
a new check without one is told as well. The checkout itself is never written.
"""

from __future__ import annotations

import ast
import collections
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path

from catalogue import COMPLETE, GUARDS, Guard

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "plugins",
    "playbooks",
    "roles",
    "meta",
    "tests/unit",
    "tests/azure_vault",
    "tests/conftest.py",
    # What init reads
    "examples/deployment",
    "inventories",
    "requirements",
    "pyproject.toml",
    "galaxy.yml",
)
# Imported once; each run of pytest is a fork that starts with them. Nothing of the collection may be among them.
PRELOADED = [
    "ansible.executor.module_common",
    "ansible.module_utils.basic",
    "ansible.plugins.action",
    "ansible.template",
    "hypothesis",
    "pytest",
    "yaml",
]
PROCESSES = 2
PATIENCE_SECONDS = 120
# Beside the flows of other parts, which keep both processors busy.
PATIENCE_WITH_ALL_SECONDS = 1200


class NotFound(Exception):
    """The code that a guard names is not there (any more), or is there more than once."""


# --- Disabling a guard ------------------------------------------------------------------------------------------------


def functions(tree: ast.Module) -> t.Iterator[tuple[str, ast.FunctionDef]]:
    """Every function with its qualified name, such as ``Store.read``."""

    def walk(node: ast.AST, prefix: str) -> t.Iterator[tuple[str, ast.FunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef):
                yield prefix + child.name, child
                yield from walk(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.ClassDef):
                yield from walk(child, f"{prefix}{child.name}.")
            else:
                yield from walk(child, prefix)

    yield from walk(tree, "")


def disabled(source: bytes, guard: Guard) -> bytes:
    """The source without that guard.

    :raises NotFound: its function or expression is not there exactly once.
    """
    tree = ast.parse(source)
    scope: ast.AST = tree
    start: ast.expr | ast.stmt
    end: ast.expr | ast.stmt
    if guard.function:
        named = [node for name, node in functions(tree) if name == guard.function]
        if len(named) != 1:
            raise NotFound(f"{guard.file} has {len(named)} functions {guard.function}; expected 1")
        scope = named[0]
    if guard.find:
        wanted = ast.dump(ast.parse(guard.find, mode="eval").body)
        places = [node for node in ast.walk(scope) if isinstance(node, ast.expr) and ast.dump(node) == wanted]
        if len(places) != 1:
            raise NotFound(f"{guard.function or guard.file} has {len(places)} times `{guard.find}`; expected 1")
        start = end = places[0]
        text = f"({guard.instead})"
    else:
        assert isinstance(scope, ast.FunctionDef)
        body = scope.body[1:] if ast.get_docstring(scope) is not None else scope.body
        start, end, text = body[0], body[-1], f"return {guard.instead}"
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    first = starts[start.lineno - 1] + start.col_offset
    last = starts[t.cast("int", end.end_lineno) - 1] + t.cast("int", end.end_col_offset)
    changed = source[:first] + text.encode() + source[last:]
    compile(changed, guard.file, "exec")
    return changed


def uncovered() -> list[str]:
    """Functions that report a problem in more places than they have guards."""
    have = collections.Counter((g.file, g.function) for g in GUARDS)
    missing = []
    for file, words in COMPLETE.items():
        found: collections.Counter[str] = collections.Counter()
        for name, function in functions(ast.parse((ROOT / file).read_bytes())):
            calls = [n for n in ast.walk(function) if isinstance(n, ast.Call)]
            found[name] = sum(ast.unparse(call.func).rpartition(".")[2] in words for call in calls)
        missing += [
            f"{file}: {name} reports problems in {count} places, and {have[file, name]} guards of it are listed"
            for name, count in found.items()
            if count > have[file, name] and name not in words
        ]
    return missing


# --- Running tests ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """How a run of pytest ended: exit code (``None``: it was stopped), tests that failed, and what it said."""

    code: int | None
    failed: list[str]
    output: str


def _tests(copy: str, arguments: list[str]) -> None:
    """In a fork: run pytest in a copy of the collection, everything that it says into a file."""
    descriptor = os.open(f"{copy}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(copy)
    # As in a process that was not started by this script.
    multiprocessing.set_start_method("fork", force=True)
    import pytest  # noqa: PLC0415 (already there: preloaded)

    if any(name.startswith("ansible_collections.durable") for name in sys.modules):
        raise AssertionError("the collection was imported before its copy")
    code = int(pytest.main(arguments))
    Path(f"{copy}.code").write_text(str(code))
    sys.stdout.flush()
    os._exit(code)


def run_tests(
    context: ForkServerContext, copy: Path, tests: t.Iterable[str], *options: str, patience: float = PATIENCE_SECONDS
) -> Outcome:
    """Run these test files in a copy. Property tests are left out: they would find things only most of the time."""
    plugins = [
        word
        for plugin in ("_hypothesis_pytestplugin", "no:cacheprovider", "no:threadexception", "no:unraisableexception")
        for word in ("-p", plugin)
    ]
    # Whether a test fails is all that counts: plain assertions and short traces save more than half of the time.
    arguments = ["-q", "--assert=plain", "--tb=short", "-m", "not hypothesis", *plugins, *options]
    process = context.Process(target=_tests, args=(str(copy), [*arguments, *tests]))
    process.start()
    process.join(patience)
    if process.is_alive():
        process.kill()
        process.join()
        return Outcome(None, [], f"no end within {patience:g} s")
    output = Path(f"{copy}.log").read_text(errors="replace")
    failed = re.findall(r"^FAILED \S+?::(.+?)(?: - .*)?$", output, re.MULTILINE)
    # The fork server now and then loses the code with which a process has ended, and says 255 instead.
    ended = Path(f"{copy}.code")
    return Outcome(int(ended.read_text()) if ended.exists() else process.exitcode, failed, output)


def place(above: Path) -> Path:
    """Where a copy of the collection lies below a directory, so that it can be imported under its name."""
    return above / "ansible_collections" / "durable" / "temporal"


def make_copy(source: Path, above: Path, copy: t.Callable[[str, str], object]) -> Path:
    target = place(above)
    for part in PARTS:
        if (source / part).is_dir():
            ignore = shutil.ignore_patterns("__pycache__") if source == ROOT else None
            shutil.copytree(source / part, target / part, copy_function=copy, ignore=ignore)
        else:
            (target / part).parent.mkdir(parents=True, exist_ok=True)
            copy(str(source / part), str(target / part))
    return target


def prove(context: ForkServerContext, whole: Path, guard: Guard) -> tuple[bool, str]:
    """Whether a test fails without this guard: and its name, or what happened instead."""
    with tempfile.TemporaryDirectory(dir=whole.parents[3]) as above:
        # Links to the files of the first copy, compiled ones included; only the changed file is a new one.
        copy = make_copy(whole, Path(above), os.link)
        path = copy / guard.file
        try:
            changed = disabled(path.read_bytes(), guard)
        except NotFound as error:
            return False, f"not found: {error}. Correct its entry in tests/guards/catalogue.py"
        path.unlink()
        path.write_bytes(changed)
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            compiled.unlink()
        outcome = run_tests(context, copy, guard.tests, "-x", "-k", guard.held_by)
    if outcome.code == 1 and outcome.failed:
        return True, outcome.failed[0]
    if outcome.code == 0:
        return False, f"unproven: {guard.held_by} passes without it"
    if outcome.code == 5:
        return False, f"not found: {guard.held_by} in {' or '.join(guard.tests)}. Name the test that holds it"
    return False, f"the tests could not be run without it (pytest ended with {outcome.code}):\n{outcome.output[-2000:]}"


def main(words: list[str]) -> int:
    started = time.monotonic()
    chosen = [g for g in GUARDS if all(word in g.title for word in words)]
    if not chosen:
        print(f"No guard has all of these words: {' '.join(words)}.", file=sys.stderr)
        return 2
    # No setting of this checkout may lead a test away from its copy.
    for name in [n for n in os.environ if n.startswith(("ANSIBLE_", "PYTEST_"))]:
        del os.environ[name]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    passed = failed = 0
    for line in [] if words else uncovered():
        print(f"FAILED  {line}", flush=True)
        failed += 1
    with tempfile.TemporaryDirectory(prefix="guards-") as directory:
        os.environ["ANSIBLE_CONFIG"] = f"{directory}/ansible.cfg"
        Path(directory, "ansible.cfg").touch()
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        whole = make_copy(ROOT, Path(directory) / "whole", shutil.copy2)
        every = sorted({test for g in chosen for test in g.tests})
        outcome = run_tests(context, whole, every, patience=PATIENCE_WITH_ALL_SECONDS)
        if outcome.code != 0:
            print(outcome.output)
            print("The tests fail with all guards in place: repair them first.", file=sys.stderr)
            return 1
        with ThreadPoolExecutor(PROCESSES) as pool:
            for guard, (proved, said) in zip(chosen, pool.map(lambda g: prove(context, whole, g), chosen)):
                print(f"{'ok    ' if proved else 'FAILED'}  {guard.title}: {said}", flush=True)
                passed, failed = passed + proved, failed + (not proved)
    print(f"{time.monotonic() - started:.0f} seconds")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
