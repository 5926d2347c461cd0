# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of an inventory: which make a platform, and what is said of the others."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils._groups import (
    OURS,
    check_groups,
    check_published,
    meant_group,
)

VM = ["vm1"]
WHOLE = dict.fromkeys(OURS, VM)


def told(groups: dict[str, list[str]], level: str = "error", **given: t.Any) -> str:
    everything = {"all": sorted({h for hosts in groups.values() for h in hosts}), "ungrouped": [], **groups}
    return "\n".join(p.text for p in check_groups(everything, **given) if p.level == level)


@pytest.mark.parametrize(
    ("groups", "given"),
    [
        (WHOLE, {"declared": 2}),
        ({**WHOLE, "azure_westeurope": VM, "production": VM, "bastion": ["b1"]}, {"declared": 1}),
        ({"postgres": ["db1"], "temporal": ["t1"]}, {}),
        ({"postgres": ["db1"]}, {}),
        # A cluster that is not ours.
        ({"app": ["w1"]}, {"declared": 1, "elsewhere": True}),
        ({"app": ["w1"], "edge": ["w1"], "temporal_ui": ["w1"]}, {"elsewhere": True}),
        ({"temporal": VM}, {"database_elsewhere": True}),
        # Other words for ours that are groups of one's own.
        ({**WHOLE, "databases": ["oracle1"], "web": ["shop1"], "workers": VM}, {}),
        ({**WHOLE, "apps": VM}, {}),
        ({**WHOLE, "databases": []}, {}),
        # Neither an edge nor a UI, on purpose.
        ({"postgres": VM, "temporal": VM, "frontend": ["shop1"], "edge": []}, {}),
        ({"postgres": VM, "temporal": VM, "dashboard": ["grafana1"], "temporal_ui": []}, {}),
    ],
    ids=str,
)
def test_a_platform_or_a_part_that_works_is_fine(groups: dict[str, list[str]], given: dict[str, t.Any]) -> None:
    assert told(groups, **given) == ""


def test_groups_of_others_beside_ours_are_worth_one_warning() -> None:
    others = {name: ["o1"] for name in ("postgresql", "postgres_ha", "apps", "edge2", "temporal_dev")}
    groups = {**WHOLE, **others}
    assert told(groups) == ""
    said = told(groups, "warning")
    assert "\n" not in said
    assert said.startswith(
        "nothing reads the groups postgresql, postgres_ha, apps, edge2, temporal_dev (o1), which may be"
    )
    assert "If postgres, app, edge, temporal was meant, put the hosts into that as well." in said
    assert "the group apps (o1) is read by nothing" in told({**groups, "app": []})
    assert "the group edge2 (o1) is read by nothing" in told(
        {name: of for name, of in groups.items() if name != "edge"}
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *((name, "app") for name in ("apps", "App", "application", "applications", "workers", "worker")),
        *((name, "postgres") for name in ("databases", "db", "dbs", "database", "postgresql", "postgress", "Postgres")),
        *((name, "temporal") for name in ("temporals", "tempora", "temporal_servers", "temporal-server")),
        *((name, "temporal_ui") for name in ("ui", "temporal-ui", "temporalui", "temporal_uis", "web_ui")),
        *((name, "temporal_ui") for name in ("dashboard", "dashboards", "Console", "webui", "temporal_dashboard")),
        *((name, "edge") for name in ("web", "nginx", "edges", "proxies", "webservers", "load_balancers")),
        *((name, "edge") for name in ("frontend", "frontends", "front-end", "reverse_proxy", "edge_servers")),
        *(
            (name, "")
            for name in ("production", "azure_westeurope", "bastion", "staging", "monitoring", "vms", "linux")
        ),
    ],
)
def test_other_words_and_slips_are_recognised(name: str, meant: str) -> None:
    assert meant_group(name)[0] == meant


@pytest.mark.parametrize(
    ("groups", "given", "words"),
    [
        # As a newcomer did: the database and the applications under other words.
        (
            {"databases": VM, "temporal": VM, "apps": VM},
            {"declared": 1},
            ["the group databases (vm1) is read by nothing", "Did you mean postgres?", "Did you mean app?"],
        ),
        (
            {"temporal": VM},
            {},
            ["the group postgres has no host, and temporal has vm1", "Put a host into the group postgres"],
        ),
        (
            {"temporal_ui": VM},
            {},
            ["the group temporal has no host, and temporal_ui has vm1", "topology_temporal_address"],
        ),
        (
            {"app": VM},
            {"declared": 1},
            ["the group temporal has no host, and app has vm1", "topology_temporal_address"],
        ),
        (
            {"postgres": VM, "temporal": VM},
            {"declared": 2},
            ["the group app has no host, and 2 applications in topology_applications"],
        ),
        (
            {**WHOLE, "edge": [], "Edges": ["e1"]},
            {},
            ["the group Edges (e1) is read by nothing", "Did you mean edge?"],
        ),
        (
            {"postgres": VM, "temporal": VM, "dashboard": VM, "frontend": VM},
            {},
            [
                "the group dashboard (vm1) is read by nothing",
                "and temporal_ui is to have no host, write temporal_ui: {}.",
                "the group frontend (vm1) is read by nothing",
                "Did you mean edge?",
            ],
        ),
        (
            {"production": ["a", "b", "c", "d"]},
            {},
            ["the inventory has the groups production; expected hosts in one of"],
        ),
        ({}, {}, ["the inventory has no host; expected hosts in one of postgres, temporal, temporal_ui, app, edge"]),
        ({"all": ["vm1"]}, {}, ["the inventory has vm1 in no group"]),
        ({"all": ["app", "postgres"]}, {}, ["app, postgres is the name of a host there, not of a group"]),
    ],
    ids=str,
)
def test_what_makes_no_platform_is_told(
    groups: dict[str, list[str]], given: dict[str, t.Any], words: list[str]
) -> None:
    text = told(groups, **given)
    assert [w for w in words if w not in text] == [], text


def test_what_a_renamed_group_explains_is_told_once() -> None:
    text = told({"databases": VM, "temporal": VM, "apps": VM}, declared=1)
    assert text.count("\n") == 1, text


def test_an_edge_for_nothing_is_worth_a_warning() -> None:
    groups = {"postgres": VM, "temporal": VM, "edge": VM}
    assert told(groups) == ""
    assert "nginx has nothing to publish" in told(groups, "warning")


PORT = {"name": "shop", "port": 3000}


@pytest.mark.parametrize(
    ("groups", "application", "found"),
    [
        ({"app": VM}, PORT, "the application shop has a port, and the group edge has no host"),
        (
            {"app": VM},
            {**PORT, "server_name": "x.example"},
            "the application shop has a server_name, and the group edge",
        ),
        ({"app": VM}, {"name": "shop"}, ""),
        ({"app": VM, "edge": VM}, PORT, ""),
        # Something else publishes it.
        ({"app": VM, "edge": []}, PORT, ""),
        # Of no host.
        ({"postgres": VM}, PORT, ""),
    ],
)
def test_a_port_that_nothing_publishes_is_worth_a_warning(
    groups: dict[str, list[str]], application: dict[str, t.Any], found: str
) -> None:
    problems = check_published(groups, [application])
    assert [p.text[: len(found)] for p in problems] == ([found] if found else [])
    assert all(p.level == "warning" and "write edge: {} in the inventory" in p.text for p in problems)
