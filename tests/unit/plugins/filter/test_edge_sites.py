# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.durable.temporal.plugins.filter.edge_sites import edge_sites


def test_an_application_with_a_port_and_the_ui() -> None:
    sites = edge_sites(
        [{"name": "orders", "port": 3000}, {"name": "batch"}], ["10.0.0.1", "10.0.0.2"], ["10.0.0.3:8080"]
    )
    assert [site["name"] for site in sites] == ["orders", "temporal-ui"]
    assert sites[0]["upstream_servers"] == ["10.0.0.1:3000", "10.0.0.2:3000"]
    assert sites[1] == {
        "name": "temporal-ui",
        "kind": "ui",
        "upstream_servers": ["10.0.0.3:8080"],
    }


def test_tls_is_handed_to_the_applications() -> None:
    tls = {"certificate": "/etc/ssl/a.pem", "key": "/etc/ssl/a.key"}
    (site,) = edge_sites([{"name": "orders", "port": 3000, "server_name": "api.example"}], ["127.0.0.1"], [], tls=tls)
    assert (site["tls"], site["server_name"]) == (tls, "api.example")


def test_nothing_to_publish() -> None:
    assert edge_sites([], [], []) == []
