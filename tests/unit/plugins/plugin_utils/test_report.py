# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timezone

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils._report import build, checks_of, render, worst

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def check(status: str, name: str = "serving", message: str = "") -> dict[str, str]:
    return {
        "component": "temporal",
        "name": name,
        "status": status,
        "found": "it",
        "expected": "that",
        "message": message,
    }


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], "healthy"),
        (["healthy", "healthy"], "healthy"),
        (["healthy", "degraded"], "degraded"),
        (["failed", "degraded", "healthy"], "failed"),
    ],
)
def test_worst(statuses: list[str], expected: str) -> None:
    assert worst(statuses) == expected


def test_one_failed_host_fails_the_whole_and_says_what_to_do() -> None:
    report = build({"a": [check("healthy")], "b": [check("failed", message="Look at: the log")]}, NOW)
    assert report["status"] == "failed"
    assert report["counts"] == {"healthy": 1, "degraded": 0, "failed": 1}
    assert report["hosts"]["a"]["status"] == "healthy"
    text = render(report)
    assert "b: temporal serving is it; expected that. Look at: the log" in text
    assert "The platform is failed (1 healthy, 1 failed)." in text
    assert "a: temporal" not in text


def test_what_a_healthy_part_has_to_say_is_told_once() -> None:
    rows = [check("healthy", message="type this"), check("healthy", "other", "type this"), check("healthy")]
    assert render(build({"a": rows}, NOW)).count("  temporal: type this\n") == 1


def test_a_host_without_checks_is_healthy_and_rendered() -> None:
    assert "nothing to check" in render(build({"a": []}, NOW))


def test_checks_of_a_task_with_a_loop_count_too() -> None:
    one, other = check("healthy"), check("failed")
    assert checks_of({"checks": [one]}) == [one]
    assert checks_of({"results": [{"checks": [one]}, {"skipped": True}, {"checks": [other]}]}) == [one, other]
    assert checks_of({"skipped": True, "results": []}) == []
