# SPDX-License-Identifier: GPL-3.0-or-later
"""Options against their specification, and names that nobody knows: what is found, what is not, and in which words."""

from __future__ import annotations

import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import (
    Problem,
    check_as_the_role_will,
    check_bare,
    check_names,
    check_options,
    check_passwords,
    check_rendering,
    check_slips,
    describe,
    locate,
    secrets_in,
)
from hypothesis import given
from hypothesis import strategies as st

SPEC: dict[str, dict[str, t.Any]] = {
    "web_port": {"type": "int", "required": True},
    "web_source": {"type": "str", "choices": ["release", "archive"]},
    "web_version": {"type": "str"},
    "web_secure": {"type": "bool"},
    "web_password": {"type": "str", "no_log": True},
    "web_settings": {"type": "dict"},
    "web_users": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "password": {"type": "str", "no_log": True},
            "shares": {"type": "list", "elements": "int"},
        },
    },
}
GOOD: dict[str, t.Any] = {
    "web_port": 80,
    "web_source": "release",
    "web_version": "1.30",
    "web_secure": True,
    "web_password": "x",
    "web_settings": {"anything": [1]},
    "web_users": [{"name": "a", "password": "b", "shares": [1, "2"]}],
}


def texts(**changes: t.Any) -> list[str]:
    values = {k: v for k, v in {**GOOD, **changes}.items() if v != "absent"}
    return [problem.text for problem in check_options(SPEC, values)]


def test_values_that_fit_are_no_problem() -> None:
    assert texts() == []
    assert texts(web_port="8080", web_users=None, web_settings={}, web_source=None) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"web_port": "absent"}, "web_port is not set; expected a whole number. Set web_port."),
        ({"web_port": None}, "web_port is not set; expected a whole number. Set web_port."),
        ({"web_port": "many"}, "web_port is 'many'; expected a whole number."),
        ({"web_port": "Inf"}, "web_port is 'Inf'; expected a whole number."),
        ({"web_port": True}, "web_port is true; expected a whole number."),
        ({"web_port": 70000}, "web_port is 70000; expected a port from 1 to 65535."),
        ({"web_port": [80]}, "web_port is a list of 1; expected a whole number."),
        (
            {"web_source": "releases"},
            "web_source is 'releases'; expected one of release, archive. Did you mean release?",
        ),
        ({"web_source": {}}, "web_source is a mapping; expected one of release, archive."),
        (
            {"web_version": 1.3},
            "web_version is 1.3; expected text. YAML reads this as a number and drops zeros at its end: "
            "put it in quotes.",
        ),
        *(
            (
                {"web_secure": text},
                f"web_secure is {text!r}; expected true or false. It is a text. With -e, write JSON: "
                "-e '{\"web_secure\": true}'.",
            )
            for text in ("false", "yes", "perhaps")
        ),
        ({"web_secure": 1}, "web_secure is 1; expected true or false."),
        (
            {"web_settings": "a=b"},
            "web_settings is 'a=b'; expected a mapping. It is a text. With -e, write JSON: "
            '-e \'{"web_settings": {"…": "…"}}\'.',
        ),
        (
            {"web_users": "[]"},
            "web_users is '[]'; expected a list of mappings. It is a text. With -e, write JSON: "
            '-e \'{"web_users": ["…"]}\'.',
        ),
        ({"web_users": 1}, "web_users is 1; expected a list of mappings."),
        (
            {"web_users": [{"name": "a", "shares": "1,2"}]},
            "web_users[0].shares is '1,2'; expected a list of int. It is a text.",
        ),
        ({"web_settings": [1]}, "web_settings is a list of 1; expected a mapping."),
        ({"web_users": {"name": "a"}}, "web_users is a mapping; expected a list of mappings."),
        ({"web_users": [{}]}, "web_users[0].name is not set; expected text. Set web_users[0].name."),
        (
            {"web_users": [{"name": "a", "shares": [1, "x"]}]},
            "web_users[0].shares[1] is 'x'; expected a whole number.",
        ),
        (
            {"web_users": [{"name": "a"}, {"name": "b", "pasword": "hidden"}]},
            "web_users[1].pasword is not an option; expected name, password, shares. Did you mean password?",
        ),
        ({"web_password": ["hidden"]}, "web_password is a list of 1; expected text."),
    ],
)
def test_a_value_that_does_not_fit_is_told_in_a_sentence(changes: dict[str, t.Any], text: str) -> None:
    assert texts(**changes) == [text]


def test_what_ansible_converts_may_be_a_text() -> None:
    values = {**GOOD, "web_secure": "yes", "web_settings": "a=b", "web_users": [{"name": "a", "shares": "1,2"}]}
    assert check_options(SPEC, values, texts=True) == []


def test_all_problems_are_told_at_once() -> None:
    assert len(texts(web_port="x", web_source="y", web_users=[{}, {"name": []}])) == 4


VALUES = st.one_of(
    st.none(), st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2), st.just({"name": "x"})
)


def refuses(values: dict[str, t.Any]) -> bool:
    """Whether Ansible does, if only because it fails itself."""
    try:
        return bool(ArgumentSpecValidator(SPEC).validate(values).error_messages)
    except OverflowError:
        return True


@given(st.dictionaries(st.sampled_from(sorted(SPEC)), VALUES), st.lists(st.dictionaries(st.text(max_size=4), VALUES)))
def test_nothing_that_ansible_refuses_passes(values: dict[str, t.Any], users: list[dict[str, t.Any]]) -> None:
    for candidate in (values, {**values, "web_users": users}):
        refused = refuses(candidate)
        if refused:
            assert check_options(SPEC, candidate) or check_as_the_role_will("web", SPEC, candidate)
        if not check_options(SPEC, candidate):
            assert refused == bool(check_as_the_role_will("web", SPEC, candidate))


def test_what_ansible_says_is_told_without_secrets() -> None:
    spec = {**SPEC, "web_key": {"type": "int", "no_log": True}}
    (problem,) = check_as_the_role_will("web", spec, {**GOOD, "web_key": "hush-hush"})
    assert problem.text.startswith("the role web will refuse its options")
    assert "hush-hush" not in problem.text
    assert "********" in problem.text
    assert check_as_the_role_will("web", SPEC, GOOD) == []


def test_secrets_are_found_at_any_depth() -> None:
    assert secrets_in(SPEC, {"web_password": "one", "web_users": [{"name": "a", "password": "two"}]}) == {"one", "two"}


def test_passwords_that_everybody_knows_are_refused() -> None:
    assert [p.about for p in check_passwords(SPEC, {"web_password": "changeMe"})] == ["web_password"]
    assert "changeMe" not in check_passwords(SPEC, {"web_password": "changeMe"})[0].text
    assert check_passwords(SPEC, {"web_password": "w7-rGq1", "web_source": "changeme"}) == []


@pytest.mark.parametrize("value", ["two words", "a-line\n", " before"])
def test_passwords_that_do_not_arrive_as_they_are_are_refused(value: str) -> None:
    assert [p.about for p in check_passwords(SPEC, {"web_password": value})] == ["web_password"]
    assert value.strip() not in check_passwords(SPEC, {"web_password": value})[0].text
    assert check_passwords(SPEC, {"web_source": value}) == []


@pytest.mark.parametrize(
    ("value", "secret", "words"),
    [
        ("x" * 100, False, repr("x" * 57 + "...")),
        ("", False, "empty"),
        ("", True, "a value that is not shown"),
        ("hush", True, "a value that is not shown"),
        ({"password": "hush"}, False, "a mapping"),
        (["hush"], False, "a list of 1"),
        ([], False, "an empty list"),
        (None, True, "not set"),
    ],
)
def test_values_are_described_without_what_they_hold(value: t.Any, secret: bool, words: str) -> None:
    assert describe(value, secret) == words


# names

KNOWN = {"temporal_version", "temporal_ui_port", "host_packages", "postgres_port"}
PREFIXES = ["temporal_ui_", "temporal_", "host_", "postgres_"]


def names(*defined: str, ignored: t.Sequence[str] = ()) -> list[tuple[str, str]]:
    return [(p.level, p.text) for p in check_names([*defined, *KNOWN], KNOWN, PREFIXES, ignored)]


def test_a_slip_is_told_with_what_was_meant() -> None:
    assert names("temporal_verison") == [
        (
            "error",
            "temporal_verison is not an option of any role; expected a known name below temporal_. "
            "Did you mean temporal_version?",
        )
    ]


def test_an_unknown_name_below_our_prefixes_is_told() -> None:
    ((level, text),) = names("temporal_ui_frobnicate")
    assert level == "error"
    assert text == (
        "temporal_ui_frobnicate is not an option of any role; expected a known name below temporal_ui_, such as "
        "temporal_ui_port. Remove it, or list it in preflight_ignored_variables when it is your own."
    )


def test_common_prefixes_are_problems_only_when_a_known_name_is_near() -> None:
    assert [level for level, _text in names("host_color")] == ["warning"]
    assert [level for level, _text in names("host_pakages")] == ["error"]


def test_names_of_others_are_left_alone() -> None:
    assert names("ansible_host", "company_temporal_version", "__temporal_x", "temporal") == []
    assert names("temporal_company_a", "temporal_verison", ignored=["temporal_company_*", "temporal_verison"]) == []


def test_one_cause_is_told_once() -> None:
    failures = {"a": "'x' is undefined", "b": "'y' is undefined.", "c": "'x' is undefined"}
    assert [p.text for p in check_rendering(failures)] == [
        "a cannot be rendered; expected a value. 'x' is undefined. The same holds for c.",
        "b cannot be rendered; expected a value. 'y' is undefined.",
    ]
    assert check_rendering({}) == []


def test_the_place_of_a_variable_is_told_where_it_is_known() -> None:
    where = {"web_users": "hosts.yml:3"}
    problem = Problem("web_users[0].name", "web_users[0].name is not set; …")
    assert locate(problem, where).text == "web_users[0].name (hosts.yml:3) is not set; …"
    assert locate(Problem("the clock", "the clock is 90 seconds behind; …"), where).text.startswith("the clock is")


OPTIONS = {*KNOWN, "topology_size", "topology_temporal_address", "status_temporal_address", "topology_applications"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("postgress_port", "postgres_port"),
        ("postgre_port", "postgres_port"),
        ("topolgy_size", "topology_size"),
        ("toplogy_size", "topology_size"),
        ("topoolgy_size", "topology_size"),
        ("temporl_version", "temporal_version"),
        ("temporl_address", "topology_temporal_address"),
        ("topolgy_aplications", "topology_applications"),
        ("hsot_packages", "host_packages"),
    ],
)
def test_a_slip_before_the_first_underscore_is_told(name: str, meant: str) -> None:
    (problem,) = check_slips([name, "own"], OPTIONS, [*PREFIXES, "topology_"])
    assert problem.text.startswith(f"{name} is read by nothing; expected a known name. Did you mean {meant}?")
    assert check_slips([name], OPTIONS, PREFIXES, ["*_*"]) == []


@pytest.mark.parametrize(
    "name",
    [
        *("postgresql_port", "postgresql_version", "pg_port", "postgres", "temporary_version", "topology", "port"),
        *("nginx_vhosts", "docker_users", "temporal_verison", "ansible_host", "company_version", "topologies_size"),
    ],
)
def test_names_of_others_are_no_slips(name: str) -> None:
    assert check_slips([name], OPTIONS, [*PREFIXES, "topology_"]) == []


def test_declarations_without_their_prefix_are_told_where_there_is_none_with_it() -> None:
    orders = [{"name": "orders"}]
    (problem,) = check_bare({"applications": orders})
    assert "applications is read by nothing; expected a known name. Did you mean topology_applications?" in problem.text
    assert [p.about for p in check_bare({"namespaces": orders, "topology_applications": []})] == ["namespaces"]
    for own in (
        {"applications": "orders"},
        {"applications": []},
        {"applications": ["a"]},
        {"applications": [{"id": 1}]},
    ):
        assert check_bare(own) == []
    assert check_bare({"applications": orders, "topology_applications": []}) == []
    assert check_bare({"applications": orders}, ["applic*"]) == []


def test_options_of_an_application_that_stand_outside_of_all_are_told() -> None:
    orders = [{"name": "orders"}, "{{ billing }}"]
    for name in ("npm_environment", "install_scripts", "writable", "task_queues"):
        variables = {"topology_applications": orders, name: ["x"]}
        (problem,) = check_bare(variables)
        assert problem.level == "error"
        assert problem.text.startswith(f"{name} is read by nothing; expected it to be an option of an application")
        assert check_bare({**variables, "topology_applications": [{"name": "orders", name: ["x"]}]}) == []
        assert check_bare(variables, [name]) == []
    assert check_bare({"environment": {}, "port": 1, "namespace": "x", "topology_applications": "{{ orders }}"}) == []
