# SPDX-License-Identifier: GPL-3.0-or-later
"""Schema levels of real databases, with the real tool."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from ansible_collections.durable.temporal.tests.integration_server.host import Host, Json, needed

NAMES = {"name": "temporal", "visibility_name": "temporal_visibility"}


class Scratch:
    """Two databases of a test, and the module on them."""

    def __init__(self, host: Host, name: str) -> None:
        self.host, self.name, self.visibility = host, name, f"{name}_visibility"
        self.options: Json = json.loads(needed("TEMPORAL_TEST_SCHEMA"))
        self.database: Json = json.loads(needed("TEMPORAL_TEST_DATABASE"))

    def schema(self, version: str, check: bool = False, **database: object) -> Json:
        where = {**self.database, "name": self.name, "visibility_name": self.visibility, **database}
        return self.host.module("schema", check=check, server_version=version, database=where, **self.options)

    def create(self) -> None:
        for name in (self.name, self.visibility):
            self.host.psql("postgres", f'CREATE DATABASE "{name}" OWNER "{self.database.get("user", "temporal")}"')

    def level(self, name: str) -> str:
        return self.host.psql(name, "SELECT curr_version FROM schema_version")

    def tables(self, name: str) -> int:
        return int(self.host.psql(name, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))


@pytest.fixture
def scratch(host: Host, unique: str) -> Iterator[Scratch]:
    found = Scratch(host, unique.replace("-", "_"))
    yield found
    for name in (found.name, found.visibility):
        host.psql("postgres", f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def test_create_again_upgrade_again_and_back(scratch: Scratch) -> None:
    missing = scratch.schema("1.30.6", check=True)
    assert missing["predicted"]
    assert scratch.schema("1.30.6")["failed"]

    scratch.create()
    predicted = scratch.schema("1.30.6", check=True)
    assert predicted["changed"]
    assert not predicted["predicted"]
    assert scratch.tables(scratch.name) == 0

    created = scratch.schema("1.30.6")
    assert created["after"] == predicted["after"] == {"default": "1.18", "visibility": "1.13"}, created["output"]
    assert (scratch.level(scratch.name), scratch.level(scratch.visibility)) == ("1.18", "1.13")
    assert scratch.tables(scratch.name) > 10
    assert not scratch.schema("1.30.6")["changed"]

    upgraded = scratch.schema("1.32.2")
    assert upgraded["before"] == {"default": "1.18", "visibility": "1.13"}
    assert (scratch.level(scratch.name), scratch.level(scratch.visibility)) == ("1.19", "1.14")
    assert not scratch.schema("1.32.2")["changed"]
    assert not scratch.schema("1.32.2", check=True)["changed"]

    assert not scratch.schema("1.30.6")["changed"], "one minor back may use the newer schema"
    refused = scratch.schema("1.29.7")
    assert refused["failed"]
    assert "next minor at most" in refused["msg"]


def test_an_interrupted_creation_goes_on(scratch: Scratch) -> None:
    scratch.create()
    assert scratch.schema("1.32.2")["changed"]
    # As after an end between the tables and their record.
    scratch.host.psql(scratch.visibility, "DELETE FROM schema_version")
    again = scratch.schema("1.32.2")
    assert again["changes"] == [{"name": "visibility", "action": "create", "fields": ["level"]}], again["output"]
    assert scratch.level(scratch.visibility) == "1.14"


def test_swapped_names_are_refused(scratch: Scratch) -> None:
    scratch.create()
    scratch.schema("1.32.2")
    refused = scratch.schema("1.32.2", name=scratch.visibility, visibility_name=scratch.name)
    assert "holds the tables of the other one" in refused["msg"]


def test_a_renamed_database_is_refused(scratch: Scratch) -> None:
    scratch.create()
    scratch.schema("1.32.2")
    scratch.host.psql(scratch.name, "UPDATE schema_version SET db_name = 'temporal_old'")
    refused = scratch.schema("1.32.2")
    assert "recorded for a database named temporal_old" in refused["msg"]


def test_the_history_shards_of_the_running_cluster_are_guarded(host: Host, scratch: Scratch) -> None:
    cluster = host.temporal("operator", "cluster", "describe", "--detail")
    version, shards = cluster["serverVersion"], cluster["historyShardCount"]
    real = {key: scratch.database.get(key, default) for key, default in NAMES.items()}
    scratch.options["expected_history_shards"] = shards
    same = scratch.schema(version, **real)
    assert not same["changed"], same["output"]
    assert same["history_shards"] == shards
    scratch.options["expected_history_shards"] = shards + 1
    refused = scratch.schema(version, **real)
    assert f"started with {shards} history shards; expected {shards + 1}" in refused["msg"]


def test_a_wrong_password_shows_nowhere(scratch: Scratch) -> None:
    scratch.create()
    refused = scratch.schema("1.32.2", password="canary-7c1e")
    assert "the password of user" in refused["msg"]
    del refused["output"]  # which begins with the options, as they were typed on the command line
    assert "canary-7c1e" not in json.dumps(refused)
