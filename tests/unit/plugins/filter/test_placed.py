# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.durable.temporal.plugins.filter.placed import placed
from ansible_collections.durable.temporal.plugins.filter.reached_at import reached_at
from ansible_collections.durable.temporal.plugins.module_utils._application import normalise
from ansible_collections.durable.temporal.plugins.module_utils._environment import environment_of


def place(**application: t.Any) -> dict[str, t.Any]:
    (found,) = placed([application], "/srv/acme/", "acme", "10.0.0.2:7333")
    return t.cast("dict[str, t.Any]", found)


def test_applications_lie_below_the_platform_each_in_its_own_directory() -> None:
    assert place(name="acme")["root"] == "/srv/acme/workflow"
    assert place(name="bills")["root"] == "/srv/acme/bills"
    assert place(name="bills", root="/opt/bills")["root"] == "/opt/bills"


@pytest.mark.parametrize("name", ["temporal", "workflow"])
def test_a_directory_of_another_one_is_not_shared(name: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"its directory would be /srv/acme/{name}, which is another one's"):
        placed([{"name": name}], "/srv/acme", "acme", "a:1")
    assert place(name=name, root="/opt/own")["root"] == "/opt/own"


def test_what_is_no_application_is_left_to_others_to_judge() -> None:
    assert placed(["text", {"port": 1}], "/srv", "acme", "a:1") == ["text", {"port": 1}]


def variables(**application: t.Any) -> dict[str, str]:
    return environment_of(normalise(place(name="bills", **application)), {"environment": {}}, {})


def test_processes_know_where_temporal_is() -> None:
    assert variables()["TEMPORAL_ADDRESS"] == "10.0.0.2:7333"
    assert variables(temporal_address="cloud:7233")["TEMPORAL_ADDRESS"] == "cloud:7233"
    assert variables(environment={"TEMPORAL_ADDRESS": "other:1"})["TEMPORAL_ADDRESS"] == "other:1"


def test_the_address_may_have_other_names() -> None:
    both = variables(temporal_address_variables=["TEMPORAL_ADDRESS", "TEMPORAL_SERVER_URL"])
    assert both["TEMPORAL_ADDRESS"] == both["TEMPORAL_SERVER_URL"] == "10.0.0.2:7333"
    assert "TEMPORAL_ADDRESS" not in variables(temporal_address_variables=["TEMPORAL_SERVER_URL"])


HOSTS: dict[str, dict[str, t.Any]] = {
    "a": {"topology_address": "10.0.0.1"},
    "b": {"ansible_host": "b.example"},
    "c": {"topology_address": "10.0.0.3", "port_bind": "0.0.0.0"},
    "d": {"topology_address": "10.0.0.4", "topology_bind_address": "10.9.0.4"},
    "e": {"topology_address": "10.0.0.5", "port_bind": "10.9.0.5"},
    "f": {},
}


@pytest.mark.parametrize(
    ("host", "here", "expected"),
    [
        ("a", "b", "10.0.0.1"),
        ("a", "a", "10.0.0.1"),
        ("b", "a", "b.example"),
        ("c", "a", "10.0.0.3"),
        ("c", "c", "127.0.0.1"),
        ("d", "a", "10.9.0.4"),
        ("e", "a", "10.9.0.5"),
        ("f", "a", "f"),
    ],
)
def test_a_service_is_reached_where_it_listens(host: str, here: str, expected: str) -> None:
    assert reached_at(host, HOSTS, "port_bind", here) == expected


def test_one_host_is_reached_over_loopback() -> None:
    assert reached_at("a", HOSTS, "port_bind", "a", single=True) == "127.0.0.1"
    assert reached_at("e", HOSTS, "port_bind", "e", single=True) == "10.9.0.5"
