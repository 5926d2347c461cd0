# SPDX-License-Identifier: GPL-3.0-or-later
"""What a playbook is asked for: names, values, hosts, applications; each wrong one is told with what is known."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils import _verb as verbs
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Problem, check_slips
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight_roles import read_specs

SPECS = read_specs()
ROLES = {name for role, entries in SPECS.items() if role != "verb" for spec in entries.values() for name in spec}


def texts(problems: Iterable[Problem], level: str = "error") -> str:
    return "\n".join(p.text for p in problems if p.level == level)


def test_no_name_of_our_own_is_suggested() -> None:
    internal = {"__app_release_at_once", "__own"}
    known = verbs.Known(SPECS["verb"], internal)
    said = texts(verbs.check_names("deploy", {"app_release_at_once": False}, known, ()))
    assert said.startswith("-e app_release_at_once is read by nothing")
    assert "__" not in said
    assert check_slips(["x_own"], {"__own"}, []) == []
    assert check_slips(["topolgy_own"], {"topology_own"}, []) != []


def names(
    verb: str, *given: str, files: t.Sequence[str] = (), read: t.Collection[str] = (), **known: t.Any
) -> list[Problem]:
    wanted = {**dict.fromkeys(given, False), **dict.fromkeys(files, True)}
    return verbs.check_names(verb, wanted, verbs.Known(SPECS["verb"], ROLES, **known), read)


@pytest.mark.parametrize(
    ("verb", "name", "said"),
    [
        ("deploy", "application", "-e application is not an option of deploy; expected deploy_application."),
        (
            "deploy",
            "reason",
            "expected deploy_reason. (deploy has deploy_application, deploy_reason, deploy_take_over.)",
        ),
        ("rollback", "application", "expected rollback_application."),
        ("rollback", "release", "expected rollback_release."),
        ("rollback", "reason", "expected rollback_reason."),
        ("rollback", "replay", "expected rollback_replay."),
        ("rotate", "renew", "expected rotate_renew."),
        ("status", "report", "expected status_report."),
        ("deploy", "aplication", "Did you mean deploy_application?"),
        ("deploy", "deploy_aplication", "Did you mean deploy_application?"),
        ("rollback", "rollback_relase", "Did you mean rollback_release?"),
        ("rollback", "relese", "Did you mean rollback_release?"),
        ("deploy", "deploy_everything", "deploy has deploy_application, deploy_reason, deploy_take_over."),
        ("deploy", "release", "-e release is read by nothing"),
        ("deploy", "app", "-e app is read by nothing"),
        ("rollback", "deploy_reason", "expected rollback_reason."),
        ("deploy", "rollback_release", "-e rollback_release is an option of rollback; deploy has"),
        ("status", "deploy_application", "is an option of deploy; status has status_report."),
        ("site", "application", "site has no options of its own"),
        ("deploy", "app_release_only", "expected deploy_application."),
        ("rollback", "app_release_release", "expected rollback_release."),
        ("deploy", "app_release_release", "is filled in by the playbook"),
        ("site", "temporal_verison", "Did you mean temporal_version?"),
    ],
)
def test_a_name_that_nothing_reads_is_told_with_the_right_one(verb: str, name: str, said: str) -> None:
    assert said in texts(names(verb, name)), names(verb, name)


@pytest.mark.parametrize(
    "given",
    [
        {"given": ["deploy_application", "deploy_reason", "deploy_take_over"]},
        {"given": ["temporal_version", "app_release_watch_seconds", "ansible_user", "awx_job_id"]},
        {"given": ["semaphore_vars", "packer_build_name", "packer_builder_type", "packer_http_addr", "molecule_yml"]},
        {"given": ["builds", "release"], "read": {"builds", "release"}},
        {"given": ["company_tag"], "ignored": ["company_*"]},
        {"files": ["company_tag"]},
    ],
)
def test_what_is_read_or_somebodys_own_is_left_alone(given: dict[str, t.Any]) -> None:
    assert texts(names("deploy", *given.pop("given", ()), **given)) == ""


def test_what_tasks_return_is_not_given() -> None:
    given = ["__verb", "__preflight_host", "__mine", "__verbs", "topology_name"]
    assert [p.about for p in verbs.check_internals(given, read_specs())] == ["__preflight_host", "__verb"]


def test_the_variables_of_an_import_are_told_as_such() -> None:
    given = {"application": False, "topology_size": False, "app_release_release": False}
    found = texts(verbs.check_names("deploy", given, verbs.Known(SPECS["verb"], ROLES), (), "{}, of the import,"))
    assert "application, of the import, is not an option of deploy; expected deploy_application." in found
    assert "app_release_release, of the import, is filled in by the playbook; deploy has" in found
    assert "topology_size" not in found


def test_a_file_of_variables_may_be_for_others_too_but_not_for_a_slip() -> None:
    assert "-e company_tag is read by nothing" in texts(names("deploy", files=["company_tag"]), "warning")
    assert "Did you mean deploy_application?" in texts(names("deploy", files=["deploy_aplication"]))
    assert "expected deploy_application" in texts(names("deploy", files=["application"]))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["deploy_reason=second build"], "-e deploy_reason has a text with blanks"),
        (["deploy_reason=second build"], 'Write -e "deploy_reason=\'…\'", or -e \'{"deploy_reason": "…"}\'.'),
        (["a=1 deploy_reason=second build"], "-e a and deploy_reason has"),
        (["second"], "-e is given something that sets no variable"),
        (["deploy_reason='second build'"], ""),
        (['{"deploy_reason": "second build"}'], ""),
        (["@file with blanks.yml", "deploy_reason=second\u00a0build a=b"], ""),
    ],
)
def test_a_text_that_ansible_cuts_is_told(given: list[str], said: str) -> None:
    found = texts(verbs.cut_texts(given))
    assert said in found, found
    assert bool(said) == bool(found), found


@pytest.mark.parametrize(
    ("verb", "values", "said"),
    [
        ("deploy", {"deploy_application": ""}, "deploy_application is empty; expected a value. Leave it out"),
        ("deploy", {"deploy_application": "  "}, "deploy_application is '  '; expected a value."),
        ("deploy", {"deploy_application": None}, "deploy_application is not set; expected a value."),
        ("deploy", {"deploy_reason": ["a"]}, "deploy_reason is a list of 1; expected text."),
        ("deploy", {"deploy_take_over": "maybe"}, "deploy_take_over is 'maybe'; expected true or false."),
        ("rollback", {"rollback_replay": "perhaps"}, "rollback_replay is 'perhaps'; expected true or false."),
        ("rotate", {"rotate_renew": ""}, "rotate_renew is empty"),
        ("rotate", {"rotate_renew": []}, "rotate_renew is an empty list; expected a value."),
        ("status", {"status_report": ""}, "status_report is empty"),
        ("deploy", {"deploy_application": "orders", "deploy_take_over": "yes", "deploy_reason": "second build"}, ""),
        ("rotate", {"rotate_renew": "a,b"}, ""),
    ],
)
def test_a_value_that_does_not_fit_is_told(verb: str, values: dict[str, t.Any], said: str) -> None:
    found = texts(verbs.check_values(verb, SPECS["verb"][verb], values))
    assert said in found, found
    assert bool(said) == bool(found), found


def test_options_of_one_run_do_not_belong_into_an_inventory() -> None:
    found = texts(verbs.check_inventory(SPECS["verb"]["rollback"], {"rollback_release": "group_vars/all.yml:3"}))
    assert found.startswith(
        "rollback_release (group_vars/all.yml:3) is set in the inventory; expected on the command line"
    )
    assert verbs.check_inventory(SPECS["verb"]["deploy"], {}) == []


@pytest.mark.parametrize(
    ("verb", "name", "step"),
    [
        ("rollback", "app_release_release", "Remove it there, and give it with -e rollback_release=…."),
        ("deploy", "app_release_only", "Remove it there, and give it with -e deploy_application=…."),
        ("deploy", "app_release_release", "Remove it there."),
        ("deploy", "app_release_one_host", "Remove it there."),
        ("remove", "removal_data", "Remove it there, and give it with -e remove_data=…."),
        ("site", "removal_applications", "Remove it there."),
    ],
)
def test_what_the_playbook_fills_in_does_not_belong_into_an_inventory(verb: str, name: str, step: str) -> None:
    found = texts(verbs.check_inventory(SPECS["verb"][verb], {name: ""}))
    assert found == f"{name} is set in the inventory; expected nothing: the playbook fills it in. {step}"


GROUPS = {"all": ["db1", "t1", "a1", "a2"], "postgres": ["db1"], "temporal": ["t1"], "app": ["a1", "a2"]}


@pytest.mark.parametrize(
    ("verb", "groups", "targeted", "said"),
    [
        ("deploy", GROUPS, ["db1", "t1"], "--limit leaves out a1, a2 of the group app; deploy expects at least one."),
        ("rollback", GROUPS, ["db1"], "rollback expects at least one"),
        ("deploy", {"temporal": ["t1"]}, ["t1"], "the group app has no host; deploy expects at least one"),
        ("rotate", GROUPS, ["t1", "a1"], "--limit leaves out db1 of the group postgres; rotate expects all of them"),
        ("rotate", {"app": ["a1"]}, ["a1"], "the group temporal has no host; rotate expects"),
        ("deploy", GROUPS, ["a2"], ""),
        ("rotate", GROUPS, ["db1", "t1"], ""),
        ("status", GROUPS, ["a2"], ""),
        ("status", GROUPS, ["bastion", "a2"], ""),
        ("site", GROUPS, ["bastion"], "--limit chooses bastion, in none of the groups postgres, temporal,"),
        ("status", GROUPS, ["bastion"], "expected at least one of a1, a2, db1, t1."),
        ("remove", GROUPS, ["bastion"], ""),
    ],
)
def test_hosts_that_are_missing_are_told(
    verb: str, groups: dict[str, list[str]], targeted: list[str], said: str
) -> None:
    found = texts(verbs.check_hosts(verb, groups, targeted))
    assert said in found, found
    assert bool(said) == bool(found), found


@pytest.mark.parametrize(
    ("name", "declared", "said"),
    [
        (
            "ordres",
            {"a1": ["orders"], "a2": ["bills"]},
            "deploy_application is 'ordres'; expected one of bills, orders. Did you mean orders?",
        ),
        ("", {"a1": [], "a2": []}, "topology_applications is empty on a1, a2; deploy expects an application."),
        ("bills", {"a1": ["orders"], "a2": ["bills"]}, ""),
        ("", {"a1": [], "a2": ["bills"]}, ""),
    ],
)
def test_an_application_must_be_there(name: str, declared: dict[str, list[str]], said: str) -> None:
    found = texts(verbs.check_application("deploy", name, declared))
    assert said in found, found
    assert bool(said) == bool(found), found


@pytest.mark.parametrize(
    ("value", "fits"), [("previous", True), ("20260101000000-0a1b2c3d", True), ("a b", False), ("../x", False)]
)
def test_a_text_that_is_no_release_is_told(value: str, fits: bool) -> None:
    assert bool(verbs.check_release("rollback_release", value)) != fits


def test_secrets_that_are_not_there_are_told() -> None:
    known = ["postgres-superuser-password", "temporal-database-password"]
    found = texts(verbs.check_secrets("rotate_renew", ["temporal-databse-password"], known))
    assert found == (
        "rotate_renew is 'temporal-databse-password'; expected all, or names of postgres-superuser-password, "
        "temporal-database-password with commas between. Did you mean temporal-database-password?"
    )
    assert verbs.check_secrets("rotate_renew", ["all"], known) == []
    assert verbs.check_secrets("rotate_renew", known, known) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"a1": 2, "a2": "2"}, ""),
        ({"a1": "25%"}, ""),
        ({"a1": 1, "a2": 2}, "app_release_serial is 1 on a1, 2 on a2; expected the same on all hosts of the group app"),
        *(({"a1": value}, "expected a number of hosts from 1 on, or a percentage") for value in (0, "0%", "101%", "many", True, [1])),
    ],
)  # fmt: skip
def test_the_number_of_hosts_at_a_time_is_one_that_works(values: dict[str, t.Any], said: str) -> None:
    found = texts(verbs.check_serial(values))
    assert said in found, found
    assert bool(said) == bool(found), found


def test_what_stays_must_be_said() -> None:
    assert verbs.check_stays({"vm1": True, "vm2": False}, ["vm1"]) == []
    assert texts(verbs.check_stays({"vm1": True, "vm2": False}, ["vm1", "vm2"])) == (
        "topology_applications is not set for vm2; expected the list of the applications that stay. "
        "Write topology_applications: [] if none is declared."
    )
    assert "not set for vm1" in texts(verbs.check_stays({"vm1": False}, []))


@pytest.mark.parametrize(
    ("limit", "names"),
    [
        ("app1,edgee1", "edgee1"),
        ("all:!dbb1", "dbb1"),
        ("all:&apps", "apps"),
        ("app1, ,appp1[0:2]", "appp1"),
        ("appp", "appp"),
        ("@names.txt", "edgee1"),
    ],
)
def test_a_limit_with_a_name_that_nothing_has_is_told(
    limit: str, names: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("names.txt").write_text("app1\nedgee1\n\n")
    said = texts(verbs.check_limit(limit, ["app1", "edge1", "db1"], ["all", "app"]))
    assert said.count("\n") == 0
    assert said.startswith(
        f"--limit names {names}, which is no host and no group of the inventory; expected such as app,"
    )
    assert "Did you mean " in said


@pytest.mark.parametrize(
    "limit",
    [
        None,
        "",
        "app1",
        "app:!db1",
        "all,!app[0],&app[0:2]",
        "app[-1]",
        "nosuch*",
        "~nosuch",
        "!~nosuch",
        "no[x-z]",
        "localhost",
    ],
)
def test_a_limit_with_known_names_or_expressions_is_fine(limit: str | None) -> None:
    assert verbs.check_limit(limit, ["app1", "db1"], ["all", "app"]) == []
