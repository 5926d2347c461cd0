# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks as people call them wrongly: refused in words, before any host is asked for anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from vault_double import Double

ROOT = Path(__file__).resolve().parents[4]
COLLECTIONS = ROOT / ".local" / "collections"
# Nothing answers there; a playbook that gets as far as a host says so.
NOWHERE = {"ansible_host": "127.0.0.1", "ansible_port": 1}
GROUPS = ("postgres", "temporal", "temporal_ui", "app", "edge")
ORDERS = {
    "name": "orders",
    "artifact": "build/orders.tar.gz",
    "processes": [{"name": "worker", "script": "dist/worker.js"}],
}


class Place:
    """A user's directory, with an inventory and a build."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.inventory("vm1", applications=[ORDERS])
        self.write("build/orders.tar.gz", "")

    def write(self, name: str, content: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def inventory(
        self,
        *hosts: str,
        groups: t.Sequence[str] = GROUPS,
        applications: t.Any = None,
        others: t.Sequence[str] = (),
        **variables: t.Any,
    ) -> None:
        members = {host: {} for host in hosts}
        content = {
            "hosts": dict.fromkeys((*hosts, *others), NOWHERE),
            "children": {g: {"hosts": members} for g in groups},
        }
        self.write("inventory/hosts.yml", json.dumps({"all": content}))
        everything = {"topology_applications": applications, **variables}
        self.write(
            "inventory/group_vars/all/main.yml", yaml.safe_dump({k: v for k, v in everything.items() if v is not None})
        )

    def run(self, playbook: str, *arguments: str) -> tuple[int, str]:
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            "inventory",
            playbook if playbook.endswith(".yml") else f"durable.temporal.{playbook}",
        ]
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
        }
        done = subprocess.run(
            [*command, *arguments], cwd=self.directory, env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def refused(found: tuple[int, str], *words: str) -> None:
    status, output = found
    assert status != 0, output
    assert [w for w in words if w not in output] == [], output
    assert "nothing was changed." in output
    assert "UNREACHABLE" not in output, output


def test_everything_that_is_wrong_is_told_at_once(place: Place) -> None:
    place.inventory("vm1", applications=[{**ORDERS, "keep_relases": 3}], app_release_serial="0")
    refused(
        place.run(
            "deploy", "-e", "aplication=orders", "-e", "deploy_reason=second build", "-e", "deploy_take_over=maybe"
        ),
        "5 problems",
        "-e deploy_reason has a text with blanks",
        "-e aplication is read by nothing",
        "Did you mean deploy_application?",
        "deploy_take_over is 'maybe'; expected true or false.",
        "vm1: topology_applications[0].keep_relases",
        "app_release_serial is '0' on vm1",
    )


@pytest.mark.parametrize(
    ("playbook", "given", "said"),
    [
        ("rollback", "rollback_application=ordres", "rollback_application is 'ordres'; expected one of orders."),
        ("rotate", "rotate_renew=nosuch", "rotate_renew is 'nosuch'; expected all, or names of"),
        ("status", "report=x.json", "-e report is not an option of status; expected status_report."),
        ("deploy", "app_release_one_host=true", "-e app_release_one_host is filled in by the playbook"),
    ],
)  # fmt: skip
def test_each_playbook_knows_its_options(place: Place, playbook: str, given: str, said: str) -> None:
    refused(place.run(playbook, "-e", given), said)


def test_what_follows_from_the_groups_cannot_be_set(place: Place) -> None:
    place.inventory("vm1", applications=[ORDERS], topology_host_applications=[])
    refused(
        place.run("status", "-e", "__verb={}", "-e", "__app_release_run={}"),
        "-e __verb is an internal of a role; expected options. Leave it out.",
        "-e __app_release_run is an internal of a role",
        "vm1: topology_host_applications (inventory/group_vars/all/main.yml:7) is set; expected nothing: it follows",
    )
    place.inventory("vm1", applications=[ORDERS], topology_roles=[])
    status, output = place.run("site")
    assert status != 0
    assert "topology_roles (group_vars/all/main.yml:7) is set; expected nothing: it follows from" in output


def test_all_hosts_are_judged_together_whatever_strategy_is_set(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_STRATEGY", "free")
    place.inventory("vm1", "vm2", applications=[ORDERS], temporal_grpc_port=0)
    _status, output = place.run("site")
    assert "vm1, vm2: temporal_grpc_port" in output, output
    assert "is not examined" not in output, output


def test_names_without_their_prefix_are_the_inventorys_own(place: Place) -> None:
    own = {"application": "my-product", "release": "2026.1", "reason": "none", "replay": True, "renew": "all"}
    place.inventory("vm1", applications=[ORDERS], **own)
    status, output = place.run("rollback")
    assert status != 0
    assert "UNREACHABLE" in output, output
    assert "nothing was changed" not in output, output
    place.inventory("vm1", applications=[ORDERS], rollback_release="2026.1", app_release_only="none")
    refused(
        place.run("rollback"),
        "rollback_release (inventory/group_vars/all/main.yml:2) is set in the inventory",
        "app_release_only (inventory/group_vars/all/main.yml:1) is set in the inventory; expected nothing",
    )


def test_an_artifact_is_looked_for_where_the_user_is(place: Place) -> None:
    status, output = place.run("deploy")
    assert status != 0
    assert "UNREACHABLE" in output, output  # it got as far as the host
    (place.directory / "build/orders.tar.gz").unlink()
    looked_for = f"there is no file {place.directory}/build/orders.tar.gz on the controller"
    refused(place.run("deploy"), f"is 'build/orders.tar.gz', and {looked_for}")
    assert looked_for in place.run("site")[1]


def test_an_application_that_cannot_work_is_told(place: Place) -> None:
    place.inventory("vm1", applications=[{**ORDERS, "processes": [{"name": "worker"}]}])
    refused(place.run("deploy"), "vm1: application orders, process 'worker': script is missing")


@pytest.mark.parametrize("playbook", ["deploy", "rollback"])
def test_applications_whose_units_would_have_one_name_are_told(place: Place, playbook: str) -> None:
    both = [
        {**ORDERS, "name": name, "runtime": "systemd", "dependencies": "none", "processes": [process]}
        for name, process in (
            ("shop", {"name": "a-b", "command": ["bin/x"]}),
            ("shop-a", {"name": "b", "command": ["bin/x"]}),
        )
    ]
    place.inventory("vm1", applications=both)
    said = "shop-a-b, for process b of the application shop-a and for process a-b of the application shop;"
    refused(place.run(playbook, "-e", f"{playbook}_application=shop"), said)


def test_nothing_to_deploy_is_an_error(place: Place) -> None:
    place.inventory("vm1", applications=[])
    refused(place.run("deploy"), "topology_applications is empty on vm1; deploy expects an application.")
    refused(place.run("rollback"), "topology_applications is empty on vm1; rollback expects an application.")
    place.inventory("vm1", applications=[{k: v for k, v in ORDERS.items() if k != "artifact"}])
    refused(place.run("deploy"), "is not set; expected a file made by the build of orders.")


def test_an_inventory_without_hosts_is_an_error_everywhere(place: Place) -> None:
    place.inventory()
    for playbook in ("site", "deploy", "status"):
        refused(place.run(playbook), "the inventory has no host; expected hosts in one of")


def test_groups_under_another_name_and_hosts_left_out_are_told(place: Place) -> None:
    place.inventory("vm1", groups=("databases", "temporal", "apps"), applications=[ORDERS])
    refused(
        place.run("site"), "the group databases (vm1) is read by nothing", "Did you mean postgres?", "Did you mean app?"
    )
    refused(place.run("deploy"), "the group apps (vm1) is read by nothing")
    place.inventory("vm1", "vm2", applications=[ORDERS])
    place.write("inventory/host_vars/vm1.yml", "app_release_serial: 2\n")
    refused(place.run("rotate", "--limit", "vm1"), "--limit leaves out vm2 of the group postgres")
    refused(place.run("deploy"), "app_release_serial is 2 on vm1, 1 on vm2; expected the same")


def test_variables_that_nothing_reads_are_told_with_what_was_meant(place: Place) -> None:
    place.inventory("vm1", topolgy_size="large", postgre_port=1, postgres_port="{{ postgre_port }}")
    place.write("inventory/group_vars/all/bare.yml", "applications: [{name: orders}]\n")
    place.write("inventory/group_vars/prod.yml", "topology_size: large\n")
    refused(
        place.run("status"),
        "3 problems",
        "vm1: topolgy_size (inventory/group_vars/all/main.yml:3) is read by nothing",
        "vm1: applications (inventory/group_vars/all/bare.yml:1) is read by nothing; expected a known name.",
        "topology_size in group_vars/prod.yml is read by nothing: no group is called prod;",
    )


def test_a_variable_in_two_files_of_a_group_is_an_error(place: Place) -> None:
    place.write("inventory/group_vars/all/application.yml", "---\ntopology_applications: []\n")
    said = "topology_applications is set in group_vars/all/application.yml:2 and in group_vars/all/main.yml:1"
    refused(place.run("site"), said)


IMPORT = "- ansible.builtin.import_playbook: durable.temporal.deploy\n"
OWN_PLAY = "- hosts: localhost\n  gather_facts: false\n  tags: own\n  tasks: []\n"


def test_a_playbook_that_imports_one_may_give_its_options(place: Place) -> None:
    place.write(
        "nightly.yml",
        f"{IMPORT}  vars: {{deploy_application: ordres, aplication: orders, app_release_release: previous}}\n",
    )
    refused(
        place.run("nightly.yml"),
        "deploy_application is 'ordres'; expected one of orders.",
        "aplication, a variable of the playbook that imports this one, is read by nothing",
        "app_release_release, a variable of the playbook that imports this one, is filled in by the playbook",
    )


@pytest.mark.parametrize("playbook", ["site", "rollback", "remove"])
def test_a_tag_that_nothing_has_is_refused(place: Place, playbook: str) -> None:
    removed = ("-e", "remove_application=orders") if playbook == "remove" else ()
    refused(place.run(playbook, "--tags", "typo", *removed), "--tags is 'typo'; expected")


def test_tags_of_an_import_and_of_plays_that_are_not_ours_are_left_alone(place: Place) -> None:
    place.write("nightly.yml", f"{IMPORT}  tags: nightly\n")
    refused(place.run("nightly.yml", "--tags", "own"), "--tags is 'own'; expected tags of deploy: nightly.")
    assert "UNREACHABLE" in place.run("nightly.yml", "--tags", "nightly")[1]
    place.write("nightly.yml", f"{IMPORT}  tags: nightly\n{OWN_PLAY}")
    status, output = place.run("nightly.yml", "--tags", "own")
    assert status == 0, output
    assert "[WARNING]: --tags is 'own'; expected tags of deploy: nightly." in output


@pytest.mark.parametrize("playbook", ["deploy", "status"])
def test_nothing_runs_when_the_check_is_skipped(place: Place, playbook: str) -> None:
    status, output = place.run(playbook, "--skip-tags", "always")
    assert status != 0
    assert "the check of what is asked for was left out; expected it first." in output
    assert "UNREACHABLE" not in output, output


def test_a_removal_names_the_hosts_that_do_not_answer(place: Place) -> None:
    place.inventory("vm1", applications=[], others=["bastion"])
    status, output = place.run("remove", "-e", "remove_application=orders")
    assert status != 0
    assert "or leave it out: --limit 'all:!vm1'. Nothing was changed." in output
    assert "is in none of our groups, and is left out. What it may have of orders stays." in output
    assert "'all:!bastion'" not in output


def test_a_limit_to_hosts_of_others_is_refused(place: Place) -> None:
    place.inventory("vm1", applications=[ORDERS], others=["bastion"])
    for playbook in ("site", "status"):
        refused(place.run(playbook, "--limit", "bastion"), "--limit chooses bastion, in none of the groups", "of vm1.")
    assert "nothing was changed" not in place.run("status", "--limit", "bastion,vm1")[1]


@pytest.mark.parametrize("playbook", ["status", "remove -e remove_application=old"])
def test_a_playbook_that_looks_or_removes_makes_no_secrets(place: Place, playbook: str) -> None:
    place.inventory("vm1", applications="{{ [] if lookup('durable.temporal.secret', 'own') else [] }}")
    status, output = place.run(*playbook.split())
    assert status != 0
    assert "UNREACHABLE" in output, output
    assert not (place.directory / "inventory" / ".secrets").exists()


@pytest.mark.parametrize("playbook", ["site", "status"])
def test_a_limit_with_a_name_that_nothing_has_is_refused(place: Place, playbook: str) -> None:
    place.inventory("vm1", "vm2", applications=[ORDERS])
    said = "--limit names vmm2, which is no host and no group of the inventory; expected such as postgres,"
    refused(place.run(playbook, "--limit", "vm1,vmm2"), said, "Did you mean vm2?")
    refused(place.run(playbook, "--limit", "all:!vmm2"), said)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"topology_applications": "{{ nonesuch }}"}, "cannot be rendered; expected a value. 'nonesuch' is undefined."),
        (
            {"topology_applications": [{**ORDERS, "root": "{{ nonesuch }}"}]},
            "cannot be rendered; expected a value. 'nonesuch' is undefined.",
        ),
        (
            {"topology_aplications": []},
            "topology_aplications (inventory/group_vars/all/main.yml:1) is not an option of any",
        ),
        ({"topology_aplications": []}, "topology_applications is not set for vm1"),
        ({}, "topology_applications is not set for vm1; expected the list of the applications that stay"),
        ({"topology_applications": "{{ none }}"}, "topology_applications is not set for vm1"),
        ({"topology_applications": "orders"}, "is 'orders'; expected a list of mappings."),
        ({"topology_applications": [{**ORDERS, "processes": [{"name": "worker"}]}]}, "script is missing"),
    ],
)
def test_nothing_is_removed_while_it_is_unknown_what_stays(
    place: Place, variables: dict[str, t.Any], said: str
) -> None:
    place.inventory("vm1", **variables)
    refused(place.run("remove", "-e", "remove_application=orders"), said)


def test_an_application_that_is_null_is_not_the_word_that_none_stays(place: Place) -> None:
    place.inventory("vm1")
    place.write("inventory/group_vars/all/main.yml", "topology_applications:\n")
    refused(place.run("remove", "-e", "remove_application=orders"), "topology_applications is not set for vm1")


def test_one_host_that_does_not_say_what_stays_is_enough(place: Place) -> None:
    place.inventory("vm1", "vm2", groups=("app",), topology_temporal_address="temporal.example:7233")
    place.write("inventory/host_vars/vm1.yml", "topology_applications: []\n")
    refused(place.run("remove", "-e", "remove_application=orders"), "topology_applications is not set for vm2")


def test_a_removal_goes_on_when_it_is_known_what_stays(place: Place) -> None:
    for applications in ([], [{**ORDERS, "name": "others"}]):
        place.inventory("vm1", applications=applications)
        status, output = place.run("remove", "-e", "remove_application=orders")
        assert status != 0
        assert "UNREACHABLE" in output, output
        assert "nothing was changed" not in output, output


@pytest.mark.parametrize("playbook", ["deploy", "rollback", "rotate", "status", "remove -e remove_application=old"])
def test_values_that_cannot_be_are_told_before_a_host_is_asked(place: Place, playbook: str) -> None:
    place.inventory("vm1", applications=[ORDERS], topology_temporal_address="http://temporal:7233", topology_name=None)
    status, output = place.run(*playbook.split())
    said = "vm1: topology_temporal_address (inventory/group_vars/all/main.yml:"
    refused((status, output), "1 problem; nothing was changed.", said, "expected a host and a port")


@pytest.mark.parametrize("playbook", ["deploy", "rollback", "deploy -e deploy_application=orders"])
def test_a_secret_that_is_missing_is_told_before_anything_is_changed(place: Place, playbook: str) -> None:
    application = {**ORDERS, "environment": {"COSMOS_KEY": "@keyvault/CosmosDbKey"}}
    place.inventory("vm1", applications=[application], secrets_provider="env")
    said = (
        "vm1: topology_applications[0].environment.COSMOS_KEY (inventory/group_vars/all/main.yml:5) refers to the secret "
        "CosmosDbKey, which is not known to the provider env; expected what it has. Set the environment variable "
        "DURABLE_SECRET_COSMOSDBKEY."
    )
    refused(place.run(*playbook.split()), "1 problem;", said)


def test_a_secret_of_an_application_that_is_not_deployed_may_be_missing(place: Place) -> None:
    other = {**ORDERS, "name": "billing", "environment": {"KEY": "@keyvault/BillingKey"}}
    place.inventory("vm1", applications=[ORDERS, other], secrets_provider="env")
    assert "UNREACHABLE" in place.run("deploy", "-e", "deploy_application=orders")[1]
    refused(place.run("deploy", "-e", "deploy_application=billing"), "topology_applications[1].environment.KEY")


def test_a_secret_of_npm_is_needed_by_a_deployment_and_not_to_go_back(place: Place) -> None:
    application = {**ORDERS, "npm_environment": {"NPM_TOKEN": "@keyvault/NpmToken"}}
    place.inventory("vm1", applications=[application], secrets_provider="env")
    refused(
        place.run("deploy"), "1 problem;", "topology_applications[0].npm_environment.NPM_TOKEN", "the secret NpmToken"
    )
    assert "UNREACHABLE" in place.run("rollback")[1]


def test_a_deployment_is_refused_variables_that_site_would_undo_and_a_rollback_is_not(place: Place) -> None:
    place.inventory("vm1", applications=[ORDERS], pm2_worker_environment={"LEVEL": "debug"})
    refused(place.run("deploy"), "1 problem;", "pm2_worker_environment", "would undo each other")
    assert "UNREACHABLE" in place.run("rollback")[1]


def test_a_variable_that_systemd_does_not_take_is_told_by_a_deployment(place: Place) -> None:
    process = {"name": "w", "command": ["bin/w"]}
    one = {**ORDERS, "runtime": "systemd", "processes": [process], "environment": {"A": "a\x01b"}}
    place.inventory("vm1", applications=[one])
    refused(place.run("deploy"), "1 problem;", "topology_applications[0].environment.A", "control character")


def test_the_vault_of_a_missing_secret_is_asked_and_what_it_says_is_told(place: Place) -> None:
    application = {**ORDERS, "environment": {"COSMOS_KEY": "@keyvault/CosmosDbKey"}}
    place.inventory("vm1", applications=[application], secrets_provider="azure_keyvault")
    said = "vm1: secrets_provider cannot be rendered; expected a value. keyvault_vault is not set; expected the name"
    refused(place.run("deploy"), said)


def test_a_secret_that_the_vault_lacks_is_told_with_the_vault(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = {**ORDERS, "environment": {"KNOWN": "@keyvault/Known", "COSMOS_KEY": "@keyvault/CosmosDbKey"}}
    with Double(tmp_path / "double") as double:
        double.services.put("Known", "value")
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", double.proxy)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        place.inventory(
            "vm1",
            applications=[application],
            secrets_provider="azure_keyvault",
            keyvault_vault=double.services.vault,
            keyvault_auth_method="managed_identity",
            keyvault_proxy=double.proxy,
            keyvault_ca_certificate=str(double.ca_file),
        )
        said = (
            "vm1: topology_applications[0].environment.COSMOS_KEY (inventory/group_vars/all/main.yml:9) refers to the secret "
            "CosmosDbKey, which is not known to the provider azure_keyvault; expected what it has. Store it in "
            "durable-local.vault.azure.net (az keyvault secret set --vault-name durable-local --name CosmosDbKey --file …)."
        )
        for playbook in ("deploy", "rollback"):
            refused(place.run(playbook), "1 problem;", said)
        double.services.put("CosmosDbKey", "value")
        assert "UNREACHABLE" in place.run("deploy")[1]
        double.services.fail("ForbiddenPlain")
        refused(place.run("deploy"), "vm1: secrets_provider cannot be rendered", "not allowed on a disabled secret.")


def test_a_secret_of_the_connection_is_told_too(place: Place) -> None:
    connection = {"api_key": "{{ lookup('durable.temporal.secret', 'cloud-key') }}"}
    place.inventory("vm1", applications=[ORDERS], secrets_provider="env", topology_temporal_connection=connection)
    said = "vm1: topology_temporal_connection (inventory/group_vars/all/main.yml:"
    refused(place.run("deploy"), said, "cloud-key: set the environment variable DURABLE_SECRET_CLOUD_KEY")


def test_a_password_that_is_missing_keeps_from_rotating(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.inventory("vm1", applications=[ORDERS], secrets_provider="env")
    monkeypatch.setenv("DURABLE_SECRET_POSTGRES_SUPERUSER_PASSWORD", "known")
    said = (
        "1 problem; nothing was changed. - vm1: topology_database_password cannot be rendered; expected a value. 1 secret is "
        "not known to the provider env: - temporal-database-password: set the environment variable "
        "DURABLE_SECRET_TEMPORAL_DATABASE_PASSWORD. The same holds for postgres_users, temporal_database_password."
    )
    refused(place.run("rotate"), said)
    monkeypatch.setenv("DURABLE_SECRET_TEMPORAL_DATABASE_PASSWORD", "known")
    assert "UNREACHABLE" in place.run("rotate")[1]
    # One that nothing needs may be missing.
    monkeypatch.delenv("DURABLE_SECRET_POSTGRES_SUPERUSER_PASSWORD")
    place.inventory("vm1", applications=[ORDERS], secrets_provider="env", postgres_superuser_password="own")
    assert "UNREACHABLE" in place.run("rotate")[1]


@pytest.mark.parametrize("playbook", ["rotate", "status"])
def test_values_of_the_roles_of_a_playbook_are_judged(place: Place, playbook: str) -> None:
    name = {"rotate": "postgres_port", "status": "status_max_failure_percent"}[playbook]
    place.inventory("vm1", applications=[ORDERS], **{name: "many"})
    refused(place.run(playbook), f"vm1: {name} (inventory/group_vars/all/main.yml:", "is 'many'; expected a")


STATUS = """
- import_playbook: durable.temporal.verb
  vars:
    __verb_name: status
- hosts: vm1
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{ __verb.checks }}"
"""


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("env", "temporal-database-password: set the environment variable DURABLE_SECRET_TEMPORAL_DATABASE_PASSWORD."),
        ("generated", "inventory/.secrets/temporal-database-password from the machine that made the platform, or set"),
    ],
)
def test_status_says_that_the_password_is_missing(place: Place, provider: str, said: str) -> None:
    place.inventory("vm1", applications=[ORDERS], secrets_provider=provider)
    place.write("own.yml", STATUS)
    _status, output = place.run("own.yml")
    assert "component: database expected: that of the database, which was not asked without it found: missing" in output
    assert f"1 secret is not known to the provider {provider}: - temporal-database-password:" in output
    assert said in output
    assert not (place.directory / "inventory" / ".secrets").exists()
    # It goes on without.
    assert "UNREACHABLE" in place.run("status")[1]
    place.inventory("vm1", applications=[ORDERS], topology_database_password="own")
    assert "found: missing" not in place.run("own.yml")[1]
