# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test` forgets no flow, keeps its time limit, and runs what it leaves out on another day."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import parts  # noqa: E402
from parts import CHECK, PARTS, Outcome, Part, Session, chosen, environment, ordered, pick, simulate, steps  # noqa: E402

LIMIT, LANES = 80 - CHECK.minutes - 5, 3  # what is left after the part check and the preparation
WORDS = Counter(word for part in PARTS for command in part.commands for word in command)


def test_every_flow_is_in_one_part() -> None:
    flows = {str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "flows").glob("test_*.py")}
    assert {word for word in WORDS if word.startswith("tests/flows/")} == flows
    assert {flow: WORDS[flow] for flow in flows} == dict.fromkeys(flows, 1)


def test_every_molecule_scenario_is_in_one_part() -> None:
    scenarios = {path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")}
    assert {name: WORDS[name] for name in scenarios} == dict.fromkeys(scenarios, 1)


def test_parts_do_not_meet() -> None:
    assert len({part.name for part in (CHECK, *PARTS)}) == len(PARTS) + 1
    for name in ("DURABLE_VM", "DURABLE_API_PORT", "DURABLE_UI_PORT", "DURABLE_RUN_DIR"):
        assert len({environment(part)[name] for part in PARTS}) == len(PARTS)


def test_no_part_goes_on_with_a_host_that_a_run_before_has_left() -> None:
    flows = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "flows").glob("*.py")}
    assert [path.name for path, text in flows.items() if re.search(r'"vm", "up"', text)] == []
    assert sum('"vm", "new"' in text for text in flows.values()) >= 5
    for part in PARTS:
        assert not [step for step in steps(part, environment(part)) if step[:2] == ("scripts/vm", "up")]


@pytest.mark.parametrize("pace", [0.7, 1, 1.2])
def test_a_run_keeps_its_limit(pace: float) -> None:
    for day in range(len(PARTS)):
        done, minutes = simulate(PARTS, day, LIMIT, LANES, pace)
        assert minutes <= LIMIT
        assert {part.name for part in PARTS if part.core} <= set(done)


def test_a_run_that_takes_what_is_expected_reaches_every_part() -> None:
    for day in range(len(PARTS)):
        assert {*simulate(PARTS, day, LIMIT, LANES)[0]} == {part.name for part in PARTS}


@pytest.mark.parametrize("pace", [1, 1.2])
def test_every_part_has_its_turn_within_a_week(pace: float) -> None:
    names = {part.name for part in PARTS}
    for first in range(20):
        week = [simulate(PARTS, first + day, LIMIT, LANES, pace)[0] for day in range(7)]
        assert {name for done in week for name in done} == names


def test_a_core_part_runs_even_when_it_is_late() -> None:
    core, other = Part("a", "", 10, (), core=True), Part("b", "", 10, ())
    assert pick([other, core], 5, 1) is core
    assert pick([other], 12, 1) is other
    assert pick([other], 12, 1.3) is None


def test_another_part_comes_first_each_day() -> None:
    others = [part.name for part in PARTS if not part.core]
    first = [next(part.name for part in ordered(PARTS, day) if not part.core) for day in range(len(others))]
    assert first == others


def test_what_a_run_has_taken_so_far_is_its_pace(tmp_path: Path) -> None:
    session = Session([], 80, tmp_path)
    assert session.pace() == 1
    session.done[PARTS[0].name] = Outcome(True, PARTS[0].minutes * 2)
    assert session.pace() == 2


def test_an_unknown_part_is_refused_with_the_list() -> None:
    with pytest.raises(SystemExit, match=r"no part is called rotaton; expected check, .*rotation"):
        chosen(["rotaton"])


def test_a_failing_command_fails_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "STATE", tmp_path)
    log = tmp_path / "log"
    part = Part("x", "", 1, (("false",), ("touch", str(tmp_path / "reached"))), "none")
    with log.open("w") as stream:
        assert not parts.execute(part, stream).passed
        assert not (tmp_path / "reached").exists()
        assert parts.execute(Part("y", "", 1, (("true",),), "none"), stream).passed


def test_a_part_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "STATE", tmp_path)
    with (tmp_path / "log").open("w") as stream:
        assert not parts.execute(Part("x", "", 0.001, (("sleep", "60"),), "none"), stream).passed
    assert "took too long" in (tmp_path / "log").read_text()


def test_the_host_of_a_part_is_made_first() -> None:
    by_name = {part.name: part for part in PARTS}
    up = steps(by_name["up"], environment(by_name["up"]))
    assert up[0] == ("scripts/up",)
    bare = steps(by_name["interrupt"], environment(by_name["interrupt"]))
    assert bare[0][:4] == ("scripts/vm", "new", "durable-interrupt", "debian13")
    assert not any("{run_dir}" in word for part in PARTS for step in steps(part, environment(part)) for word in step)


def test_what_failed_is_named_at_the_end(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_text(
        "one\nE       assert 1 == 2\n" + "noise\n" * 500 + "FAILED tests/flows/test_x.py::test_y - assert 1 == 2\nMB\n"
    )
    assert parts.failures(log) == ["E       assert 1 == 2", "FAILED tests/flows/test_x.py::test_y - assert 1 == 2"]
    log.write_text("one\n" * 100 + "no such host\n")
    assert parts.failures(log, 2) == ["one", "no such host"]


def test_a_report_tells_of_each_part_that_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = Session([], 75, tmp_path)
    for name, passed in (("up", False), ("roles", True)):
        (tmp_path / f"part-{name}.log").write_text(f"E   the cause in {name}\n")
        session.done[name] = Outcome(passed, 1.0)
    assert parts.report(session, ["up", "roles"]) == 1
    said = capsys.readouterr().out
    assert "==> What failed in up:\nE   the cause in up\n" in said
    assert "the cause in roles" not in said
