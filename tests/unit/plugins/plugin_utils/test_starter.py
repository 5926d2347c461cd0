# SPDX-License-Identifier: GPL-3.0-or-later
"""What `init` writes: one source for each file, values at their places, nothing of the user's overwritten."""

from __future__ import annotations

import re
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.durable.temporal.plugins.module_utils._application import normalise
from ansible_collections.durable.temporal.plugins.plugin_utils import _starter as starter
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[4]
HOSTS = {"single_vm": ["vm1"], "production": ["db1", "temporal1", "app1", "edge1"]}
APPLICATIONS = "inventory/group_vars/all/applications.yml"


def files(
    topology: str = "single_vm", name: str = "orders", hosts: t.Any = None, user: str | None = None
) -> dict[str, str]:
    return starter.files(ROOT, starter.Wanted(topology, name, hosts or {}, user))


def problems(**values: t.Any) -> list[str]:
    with pytest.raises(starter.StarterError) as raised:
        files(**values)
    return raised.value.problems


@pytest.mark.parametrize("topology", starter.TOPOLOGIES)
def test_values_are_at_their_places(topology: str) -> None:
    addresses = {host: f"192.0.2.{number}" for number, host in enumerate(HOSTS[topology], start=1)}
    made = files(topology, "acme-billing", addresses, "admin")
    hosts = yaml.safe_load(made["inventory/hosts.yml"])["all"]
    assert {host: each["ansible_host"] for host, each in hosts["hosts"].items()} == addresses
    assert hosts["vars"]["ansible_user"] == "admin"
    assert yaml.safe_load(made["inventory/group_vars/all/main.yml"])["topology_name"] == "acme-billing"
    # Comments stay.
    assert made["inventory/hosts.yml"].count("#") == (ROOT / "inventories" / topology / "hosts.yml").read_text().count(
        "#"
    )


@settings(max_examples=40)
@given(st.from_regex(starter.ADDRESS, fullmatch=True), st.from_regex(starter.USER, fullmatch=True))
def test_every_value_that_is_accepted_arrives_as_text(address: str, user: str) -> None:
    hosts = yaml.safe_load(files(hosts={"vm1": address}, user=user)["inventory/hosts.yml"])["all"]
    assert (hosts["hosts"]["vm1"]["ansible_host"], hosts["vars"]["ansible_user"]) == (address, user)


@pytest.mark.parametrize(("address", "user"), [("::1", "yes"), ("a:", "null"), ("1.5", "admin")])
def test_what_yaml_reads_as_something_else_arrives_as_text(address: str, user: str) -> None:
    hosts = yaml.safe_load(files(hosts={"vm1": address}, user=user)["inventory/hosts.yml"])["all"]
    assert (hosts["hosts"]["vm1"]["ansible_host"], hosts["vars"]["ansible_user"]) == (address, user)


@pytest.mark.parametrize("topology", starter.TOPOLOGIES)
def test_the_directory_has_every_playbook_of_the_collection(topology: str) -> None:
    made = files(topology)
    imported = {
        name.removesuffix(".yml"): yaml.safe_load(text)[0]["ansible.builtin.import_playbook"]
        for name, text in made.items()
        if "/" not in name and name.endswith(".yml") and name != "requirements.yml"
    }
    playbooks = {path.stem for path in (ROOT / "playbooks").glob("*.yml")} - {"init", "verb"}
    assert imported == {name: f"durable.temporal.{name}" for name in playbooks}


def test_requirements_are_those_of_the_collection() -> None:
    """The list that the tests run with, and no other."""
    theirs = [line for line in files()["requirements.txt"].splitlines() if not line.startswith("#")]
    assert theirs == (ROOT / "requirements" / "controller.txt").read_text().splitlines()


def test_both_topologies_have_the_same_examples() -> None:
    assert files("single_vm")[APPLICATIONS] == files("production")[APPLICATIONS]


def test_the_readme_names_files_that_are_there() -> None:
    made = files()
    named = set(re.findall(r"`((?:inventory/)?[\w/]+\.(?:yml|txt|cfg))`", made["README.md"]))
    assert len(named) > 5
    assert named - {"staging/hosts.yml"} <= set(made)


def test_a_second_inventory_made_as_the_readme_says_has_no_secrets_of_the_first(tmp_path: Path) -> None:
    made = files()
    starter.write(tmp_path, made, list(made))
    secrets = tmp_path / "inventory" / ".secrets"
    secrets.mkdir()
    (secrets / "temporal-database-password").write_text("canary\n")
    (block,) = [b for b in re.findall(r"```\n(.*?)```", made["README.md"], re.DOTALL) if "cp -r" in b]
    subprocess.run(["sh", "-euc", block], cwd=tmp_path, check=True)
    assert (tmp_path / "staging" / "hosts.yml").is_file()
    assert not (tmp_path / "staging" / ".secrets").exists()
    assert (secrets / "temporal-database-password").read_text() == "canary\n"


def test_secrets_stay_out_of_git() -> None:
    assert ".secrets/" in files()[".gitignore"].splitlines()


def uncommented() -> list[dict[str, t.Any]]:
    """The applications when somebody does what the comment at the top of the file says."""
    text = files()[APPLICATIONS].replace("topology_applications: []", "topology_applications:")
    return t.cast("list[dict[str, t.Any]]", yaml.safe_load(re.sub(r"(?m)^#(?=  )", "", text))["topology_applications"])


def test_there_is_an_example_for_each_runtime() -> None:
    assert [a["runtime"] for a in uncommented()] == ["pm2", "systemd"]
    assert [normalise(a)["name"] for a in uncommented()] == ["order-processing", "approvals"]
    assert yaml.safe_load(files()[APPLICATIONS]) == {"topology_applications": []}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"topology": "cluster"}, "init_topology is 'cluster'; expected one of single_vm, production."),
        ({"topology": ""}, "init_topology is ''; expected one of"),
        ({"name": "Acme Billing"}, "init_name is 'Acme Billing'; expected lower-case letters"),
        ({"name": ""}, "init_name is ''"),
        ({"user": ""}, "init_user is ''; expected the name of an account"),
        ({"user": "a b"}, "init_user is 'a b'"),
        ({"hosts": {"db9": "192.0.2.1"}}, "init_hosts is 'db9'; expected hosts of single_vm: vm1."),
        ({"hosts": {"vm1": "a}, x: {b"}}, "init_hosts of vm1 is 'a}, x: {b'; expected an IP address or a host name."),
        ({"hosts": {"vm1": ""}}, "init_hosts of vm1 is ''"),
    ],
)
def test_a_value_that_cannot_be_used_is_told(values: dict[str, t.Any], said: str) -> None:
    (problem,) = problems(**values)
    assert problem.startswith(said)


def test_all_values_are_told_at_once() -> None:
    assert len(problems(name="A", user="", hosts={"db9": "x"})) == 3


@pytest.mark.parametrize(
    ("given_hosts", "topology", "expected"),
    [
        ("192.0.2.1", "single_vm", {"vm1": "192.0.2.1"}),
        ("vm1=192.0.2.1", "single_vm", {"vm1": "192.0.2.1"}),
        ("db1=192.0.2.1, app1=192.0.2.2", "production", {"db1": "192.0.2.1", "app1": "192.0.2.2"}),
        ({"db1": "192.0.2.1"}, "production", {"db1": "192.0.2.1"}),
        ({}, "production", {}),
    ],
)
def test_hosts_are_a_mapping_or_text(given_hosts: t.Any, topology: str, expected: dict[str, str]) -> None:
    assert starter.addresses(given_hosts, topology) == expected


@pytest.mark.parametrize("given_hosts", ["", " ", "192.0.2.1", "192.0.2.1,192.0.2.2", 7, ["192.0.2.1"]])
def test_hosts_in_another_form_are_refused(given_hosts: t.Any) -> None:
    with pytest.raises(starter.StarterError, match="expected host=address,host=address, or a mapping"):
        starter.addresses(given_hosts, "production")


def test_a_misspelt_input_is_told_with_the_known_ones() -> None:
    known = {"init_name", "init_user"}
    (problem,) = starter.check_names(["init_nmae", "init_name", "ansible_user"], known)
    assert problem == "init_nmae is not an input of this playbook; expected some of init_name, init_user."


def test_files_are_written_once_and_never_overwritten(tmp_path: Path) -> None:
    made = files()
    found = starter.compare(tmp_path, made)
    assert (found.new, found.same, found.different) == (list(made), [], [])
    starter.write(tmp_path, made, found.new)
    assert starter.compare(tmp_path, made).same == list(made)
    (tmp_path / "site.yml").write_text("mine\n")
    (tmp_path / "README.md").unlink()
    (tmp_path / "README.md").mkdir()
    (tmp_path / "ansible.cfg").unlink()
    (tmp_path / "ansible.cfg").symlink_to("elsewhere.cfg")
    assert sorted(starter.compare(tmp_path, made).different) == ["README.md", "ansible.cfg", "site.yml"]
    with pytest.raises(FileExistsError):
        starter.write(tmp_path, made, ["site.yml"])
    assert (tmp_path / "site.yml").read_text() == "mine\n"
