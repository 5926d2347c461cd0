# SPDX-License-Identifier: GPL-3.0-or-later
"""What protects against each bad day, and how to take it away. Read by ``flows.py``.

A guard is named by a text that occurs once in its file, because most of these are in YAML and templates.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """One text of a file, and what takes its place."""

    file: str
    find: str
    instead: str


@dataclass(frozen=True)
class FlowGuard:
    """One guard: the flow that must fail without it, and the edits that take it away.

    ``prepare`` names playbooks that run without the guard before the flow begins, for guards that were at work when the
    platform was set up. ``repair`` names those that, with it, put right what the flow has done.
    """

    file: str
    test: str
    name: str
    edits: tuple[Edit, ...]
    prepare: tuple[str, ...] = ()
    repair: tuple[str, ...] = ("site",)

    @property
    def title(self) -> str:
        return f"{self.test}: {self.name}"


def _bad_day(test: str, name: str, *edits: tuple[str, str, str], prepare: tuple[str, ...] = ()) -> FlowGuard:
    # What a deployment has done, a deployment puts right; the site would first fail at a release that crashes.
    repair = ("deploy",) if "artifact" in test or "disk" in test or "release" in test else ("site", "deploy")
    return FlowGuard("test_bad_days.py", test, name, tuple(Edit(*edit) for edit in edits), prepare, repair)


RELEASE = "plugins/module_utils/_release.py"
FULL = "test_full_disk_half_way_leaves_nothing_and_the_next_run_finishes"
FOREIGN = "test_foreign_service_on_a_port_is_named_and_left_alone"
NO_FOREIGN = ("plugins/action/preflight.py", "*platform.check_foreign(ports, probe),", "")

FLOW_GUARDS: list[FlowGuard] = [
    _bad_day(
        "test_a_setting_with_which_postgresql_does_not_start_is_put_back",
        "what was in effect is put back",
        ("plugins/modules/postgres_server.py", '"put_back": settings.put_back(),', '"put_back": {},'),
    ),
    _bad_day(
        "test_a_data_disk_that_is_not_mounted_begins_no_other_database",
        "preflight asks for the data that was made",
        ("plugins/action/preflight.py", "*platform.check_data(roles, values, probe),", ""),
    ),
    _bad_day(
        "test_another_package_manager_at_work_is_waited_for",
        "a lock that is held is waited for",
        (
            "plugins/modules/packages.py",
            "f\"DPkg::Lock::Timeout={self._options['lock_timeout']}\"",
            '"DPkg::Lock::Timeout=0"',
        ),
    ),
    _bad_day(
        "test_postgresql_stops_and_a_waiting_order_survives",
        "the report says that a container does not run",
        (
            "plugins/modules/host_status.py",
            'if state.get("Status") != "running" or health == "unhealthy":',
            "if False:",
        ),
    ),
    _bad_day(
        "test_postgresql_stops_and_a_waiting_order_survives",
        "a container that has stopped is started",
        ("plugins/module_utils/_compose.py", 'container.state not in ("running", "restarting")', "False"),
    ),
    *(
        _bad_day(f"{FOREIGN}[{which}]", "the look at who listens, before anything is changed", NO_FOREIGN)
        for which in ("ui", "postgres", "temporal")
    ),
    _bad_day(
        "test_wrong_database_password_is_said_plainly",
        "the sentence for a refused password",
        ("plugins/module_utils/_postgres.py", "password authentication failed|no password supplied", "never said"),
    ),
    _bad_day(
        "test_artifact_with_a_wrong_digest",
        "the comparison of the digests",
        (RELEASE, 'if expected and found != expected.lower().removeprefix("sha256:"):', "if False:"),
    ),
    _bad_day(
        "test_artifact_without_a_lock_file",
        "the look into the artifact",
        (RELEASE, "if missing := [n for n in needed if n not in present]:", "if missing := []:"),
    ),
    _bad_day(
        "test_full_disk_during_a_deploy",
        "the check for free space",
        (RELEASE, "if free < needed:", "if False:"),
    ),
    *(
        _bad_day(FULL, *guard)
        for guard in (
            (
                "what the disk refuses is told, not thrown",
                (
                    "plugins/modules/release.py",
                    "    except OSError as error:",
                    "    except ZeroDivisionError as error:",
                ),
            ),
            (
                "a lock that cannot be written is not left",
                ("plugins/module_utils/_lock.py", "            fresh.unlink(missing_ok=True)\n", ""),
            ),
            ("what was unpacked is removed", (RELEASE, "shutil.rmtree(place, ignore_errors=True)", "pass")),
            (
                "what to do when npm has filled the disk",
                (RELEASE, "if any(word in said for word in FULL_WORDS)", "if False"),
            ),
        )
    ),
    _bad_day(
        "test_a_release_that_fails_only_when_it_is_live_goes_back_by_itself",
        "going back to the release before",
        (RELEASE, "    if rejected != state.live:\n        return marked", "    return marked"),
    ),
    _bad_day(
        "test_a_release_that_fails_when_its_forerunner_has_ended_goes_back_by_itself",
        "running the release that is live again",
        (
            "roles/app_release/tasks/back.yml",
            """when: "'pm2' in __app_release_runtimes and __app_release_back.switched | length > 0\"""",
            "when: false",
        ),
    ),
    _bad_day(
        "test_a_release_that_fails_only_when_it_is_live_goes_back_by_itself",
        "waiting until the processes stay up and answer",
        (
            "plugins/modules/pm2.py",
            "if not wrong and (ended or ending is None) and now - self.running_since >= stable_seconds:",
            "if True:",
        ),
    ),
    _bad_day(
        "test_a_release_that_fails_only_when_it_is_live_goes_back_by_itself",
        "the end of the log of what crashed",
        (
            "plugins/modules/pm2.py",
            'raise Pm2Error(f"{error}.{said}") from None',
            'raise Pm2Error(f"{error}") from None',
        ),
    ),
    _bad_day(
        "test_unknown_variable_stops_before_anything_changes",
        "the comparison of names with those of the roles",
        (
            "plugins/action/preflight.py",
            'problems += roles_.check_names(specs, set(own), variables, given["ignored_variables"])',
            "",
        ),
    ),
    _bad_day(
        "test_dynamic_configuration_needs_no_restart",
        "only the static configuration restarts the server",
        (
            "roles/temporal/tasks/container.yml",
            'path: "{{ temporal_directory }}/config/temporal.yaml"',
            'path: "{{ temporal_directory }}/config"',
        ),
    ),
    _bad_day(
        "test_dynamic_configuration_needs_no_restart",
        "the directory is mounted, so that a replaced file is seen",
        (
            "roles/temporal/templates/compose.yaml.j2",
            "- ./config:/etc/temporal/config:ro",
            "- ./config/temporal.yaml:/etc/temporal/config/temporal.yaml:ro\n"
            "      - ./config/dynamicconfig.yaml:/etc/temporal/config/dynamicconfig.yaml:ro",
        ),
        prepare=("site",),
    ),
    _bad_day(
        "test_changed_history_shards_are_refused",
        "the comparison with the number that the cluster was started with",
        ("plugins/modules/schema.py", "if found is not None and found != expected:", "if False:"),
    ),
    _bad_day(
        "test_reboot_brings_everything_back",
        "PostgreSQL's container starts with the engine",
        ("roles/postgres/templates/postgres.yaml.j2", "restart: unless-stopped", 'restart: "no"'),
        prepare=("site",),
    ),
    _bad_day(
        "test_reboot_brings_everything_back",
        "the server's container starts with the engine",
        (
            "roles/temporal/templates/compose.yaml.j2",
            "container_name: {{ temporal_container }}\n"
            "    pull_policy: {{ 'missing' if temporal_artifact_source == 'registry' else 'never' }}\n"
            "    restart: unless-stopped",
            'container_name: {{ temporal_container }}\n    restart: "no"',
        ),
        prepare=("site",),
    ),
    _bad_day(
        "test_reboot_brings_everything_back",
        "the unit brings back what PM2 has saved",
        ("roles/pm2_worker/templates/pm2.service.j2", "bin/pm2 resurrect", "bin/pm2 ping"),
        prepare=("site",),
    ),
    *(
        FlowGuard("test_edge.py", test, name, (Edit("roles/nginx/templates/site.conf.j2", find, instead),), repair=())
        for test, name, find, instead in (
            (
                "test_an_application_learns_who_asked_and_for_what",
                "the host that was asked for",
                "proxy_set_header Host $http_host;",
                "",
            ),
            (
                "test_an_application_learns_who_asked_and_for_what",
                "an upgrade is asked for only when the client does",
                "    '' '';",
                "    '' upgrade;",
            ),
            (
                "test_a_client_cannot_pass_for_another_one",
                "the client's address is the one that nginx sees",
                "proxy_set_header X-Real-IP $remote_addr;",
                "",
            ),
            (
                "test_a_client_cannot_pass_for_another_one",
                "the client's address is added to those that it tells",
                "$proxy_add_x_forwarded_for",
                "$http_x_forwarded_for",
            ),
            (
                "test_a_client_cannot_pass_for_another_one",
                "the scheme is the one that nginx sees",
                "else '$scheme'",
                "else '$http_x_forwarded_proto'",
            ),
            (
                "test_a_client_cannot_pass_for_another_one",
                "the host is the one that was asked for",
                "proxy_set_header X-Forwarded-Host $http_host;",
                "",
            ),
            (
                "test_a_websocket_reaches_the_application",
                "the upgrade is handed on",
                "proxy_set_header Upgrade $http_upgrade;",
                "",
            ),
            (
                "test_a_websocket_reaches_the_application",
                "the connection is for an upgrade",
                "    default upgrade;",
                "    default '';",
            ),
            (
                "test_the_other_sites_still_answer",
                "each site has an upstream of its own name",
                "{% set id = site.name | regex_replace('[^A-Za-z0-9_]', '_') %}",
                "{% set id = 'site' %}",
            ),
        )
    ),
    *(
        FlowGuard("test_edge.py", test, name, (Edit(f"roles/nginx/templates/{file}", find, instead),), repair=())
        for test, name, file, find, instead in (
            (
                "test_large_cookies_pass",
                "room for the headers of an answer",
                "site.conf.j2",
                "    proxy_buffer_size {{ nginx_header_size }};",
                "",
            ),
            (
                "test_what_others_have_stays",
                "sites of others have no mark",
                "../tasks/main.yml",
                """      - path: /etc/nginx/conf.d
        mark: "{{ __nginx_mark }}"
""",
                "      - path: /etc/nginx/conf.d\n",
            ),
            (
                "test_ipv6_is_answered_as_well",
                "IPv6 is listened on",
                "listen.conf.j2",
                "    listen [::]:{{ listen }}{{ default_server }};",
                "",
            ),
            (
                "test_a_trusted_proxy_says_who_asked",
                "the word of a proxy counts",
                "allow.conf.j2",
                "    real_ip_header X-Forwarded-For;",
                "",
            ),
            (
                "test_the_authority_finds_the_answer",
                "the answers of a client of ACME",
                "acme.conf.j2",
                "root {{ nginx_acme_webroot }};",
                "root /nonexistent;",
            ),
        )
    ),
    FlowGuard(
        "test_interrupt.py",
        "test_ten_interruptions_then_it_converges",
        "what dpkg had begun is finished first",
        (Edit("plugins/modules/packages.py", "if INTERRUPTED in err:", "if False:"),),
    ),
    FlowGuard(
        "test_interrupt.py",
        "test_a_setting_that_waits_for_a_restart_is_not_forgotten",
        "PostgreSQL itself is asked whether it waits for a restart",
        (
            Edit(
                "roles/postgres/tasks/container.yml",
                "__postgres_server.restart_required | ternary",
                "(__postgres_server is changed) | ternary",
            ),
        ),
    ),
    FlowGuard(
        "test_rotation.py",
        "test_a_server_that_restarts_half_way_comes_back_by_itself[after PostgreSQL]",
        "the new password is offered before PostgreSQL takes it",
        (Edit("roles/temporal/tasks/rotate_offer.yml", "- __temporal_password_file.stat.exists", "- false"),),
        repair=("rotate",),
    ),
    FlowGuard(
        "test_rotation.py",
        "test_rotation_under_load_loses_nothing",
        "the server asks for the password with each connection",
        (Edit("roles/temporal/vars/main.yml", "version('1.31', '>=')", "version('9.9', '>=')"),),
        prepare=("site",),
    ),
    FlowGuard(
        "test_rotation.py",
        "test_cut_off_at_each_step_it_goes_on_and_the_next_run_finishes",
        "a renewal that was begun is finished with its value",
        (Edit("plugins/plugin_utils/_secrets.py", "            if self.renewing(name):\n", "            if False:\n"),),
        repair=("rotate",),
    ),
    FlowGuard(
        "test_rotation.py",
        "test_a_new_certificate_is_taken_over_without_a_lost_connection",
        "nginx is asked about the certificate and its key",
        (Edit("roles/nginx/tasks/main.yml", "test_command: [nginx, -t]", "test_command: ['true']"),),
    ),
]
