# SPDX-License-Identifier: GPL-3.0-or-later
"""``--tags`` and ``--skip-tags``: what nothing has, and what leaves nothing to do, is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.durable.temporal.plugins.plugin_utils import _tags as tags

ROOT = Path(__file__).resolve().parents[4]
SITE = tags.parts(yaml.safe_load((ROOT / "playbooks/site.yml").read_text()))
DEPLOY = tags.parts(yaml.safe_load((ROOT / "playbooks/deploy.yml").read_text()))


def test_the_tags_of_a_playbook_are_those_of_its_plays_and_tasks() -> None:
    assert {"host", "docker", "postgres", "temporal", "pm2_worker", "systemd_worker", "nginx"} <= set().union(*SITE)
    assert "always" not in set().union(*SITE)
    assert [set(), set(), set()] == DEPLOY
    assert tags.parts([{"ansible.builtin.import_playbook": "deploy.yml"}]) == [set()]
    assert tags.parts([{"hosts": "all", "tags": "a, b", "tasks": [{"tags": ["c"]}]}]) == [{"a", "b", "c"}]


@pytest.mark.parametrize(
    ("only", "skip", "having", "said"),
    [
        (["ngnix"], [], SITE, "--tags is 'ngnix'; expected tags of site: docker, host,"),
        (["ngnix"], [], SITE, "Did you mean nginx?"),
        (["nginx", "typo"], [], SITE, "--tags is 'typo'; expected tags of site"),
        (["all"], ["typo"], SITE, "--skip-tags is 'typo'; expected tags of site"),
        (["untagged"], [], SITE, "--tags untagged leaves nothing of site to do; expected tags of site"),
        (["always"], [], SITE, "--tags always leaves nothing of site to do"),
        (["nginx"], ["nginx"], SITE, "--tags nginx --skip-tags nginx leaves nothing of site to do"),
        (["all"], ["tagged"], SITE, "--skip-tags tagged leaves nothing"),
        (["app"], [], DEPLOY, "--tags is 'app'; expected none, as site has no tags. Leave it out; choose hosts with --limit"),
        (["all"], ["all"], DEPLOY, "--skip-tags all leaves nothing of site to do; expected none"),
        (["tagged"], [], DEPLOY, "leaves nothing of site to do"),
        (["all"], [], SITE, ""),
        (["all"], [], DEPLOY, ""),
        (["untagged"], [], DEPLOY, ""),
        (["tagged"], [], SITE, ""),
        (["nginx", "host"], [], SITE, ""),
        (["all"], ["nginx"], SITE, ""),
        (["all"], ["molecule-notest", "notest", "molecule-idempotence-notest"], SITE, ""),
        (["all"], ["molecule-notest", "notest"], DEPLOY, ""),
        (["platform"], [], [{"platform"}], ""),
    ],
)  # fmt: skip
def test_tags_that_do_nothing_are_told(only: list[str], skip: list[str], having: list[set[str]], said: str) -> None:
    found = "".join(problem.text for problem in tags.check_tags("site", only, skip, having))
    assert said in found, found
    assert bool(said) == bool(found), found


@pytest.mark.parametrize(
    ("play", "only"),
    [
        ({"ansible.builtin.import_playbook": "durable.temporal.site"}, True),
        ({"import_playbook": "playbooks/site.yml"}, True),
        ({"import_playbook": "other.yml"}, False),
        ({"hosts": "all", "tags": "own"}, False),
    ],
)
def test_plays_of_somebody_else_are_seen(play: dict[str, str], only: bool) -> None:
    assert tags.imports_only(ROOT / "nightly.yml", [play], ROOT) == only
