# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of group and host variables: what Ansible decides in silence is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.durable.temporal.plugins.plugin_utils._variable_files import check_files, directories

OURS = {"topology_applications", "topology_size", "temporal_version"}


NAMES = {"group_vars": {"all", "ungrouped", "app"}, "host_vars": {"vm1"}}


def told(place: Path, **files: str) -> list[str]:
    for name, content in files.items():
        file = place / name.replace("__", "/").replace("_yml", ".yml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return [p.text for p in check_files(DataLoader(), directories([str(place)]), NAMES, OURS, [str(place)])]


def test_a_variable_in_two_files_of_a_group_is_told_with_both_places(tmp_path: Path) -> None:
    (text,) = told(
        tmp_path,
        group_vars__all__application_yml="own: 1\ntopology_applications: [{name: orders}]\n",
        group_vars__all__main_yml="---\nown: 2\ntopology_size: small\ntopology_applications: []\n",
    )
    assert "group_vars/all/application.yml:2 and in group_vars/all/main.yml:4" in text
    assert text.startswith("topology_applications is set in")


def test_it_is_told_of_hosts_as_well_and_in_folders_below(tmp_path: Path) -> None:
    (text,) = told(
        tmp_path,
        host_vars__vm1__a_yml="temporal_version: 1.32.2\n",
        host_vars__vm1__more__b_yml="temporal_version: 1.31.2\n",
    )
    assert "host_vars/vm1/a.yml:1" in text
    assert "host_vars/vm1/more/b.yml:1" in text


@pytest.mark.parametrize("beside", ["group_vars__all__main_yml", "group_vars__all_yml"])
def test_one_file_a_variable_is_fine_and_so_are_groups_and_hosts_that_differ(tmp_path: Path, beside: str) -> None:
    files = {beside: "topology_size: small\nown: 1\n", "group_vars__app__own_yml": "topology_size: large\nown: 2\n"}
    assert told(tmp_path, **files, host_vars__vm1_yml="topology_size: medium\n") == []


def test_a_file_beside_a_directory_of_its_name_is_not_read(tmp_path: Path) -> None:
    (text,) = told(tmp_path, group_vars__all_yml="topology_size: large\n", group_vars__all__main_yml="own: 1\n")
    assert text == (
        "topology_size in group_vars/all.yml is not read, because the directory group_vars/all is there. Move it into that."
    )
    assert told(tmp_path, group_vars__all_yml="own: 1\n") == []


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("group_vars__apps_yml", "topology_size in group_vars/apps.yml is read by nothing: no group is called apps;"),
        ("group_vars__apps_yml", "expected one of all, app, ungrouped. Did you mean app?"),
        ("group_vars__All_yml", "Did you mean all?"),
        ("group_vars__prod__main_yml", "topology_size in group_vars/prod/main.yml is read by nothing: no group is called prod;"),
        ("group_vars__prod_yml", "Rename the file, or name a group so."),
        ("group_vars__prod", "topology_size in group_vars/prod is read by nothing"),
        ("host_vars__vm2_yml", "host_vars/vm2.yml is read by nothing: no host is called vm2; expected one of vm1."),
        ("host_vars__vm2.example.com_yml", "no host is called vm2.example.com"),
    ],
)  # fmt: skip
def test_the_file_of_a_group_or_host_that_is_not_there_is_told(tmp_path: Path, file: str, said: str) -> None:
    (text,) = told(tmp_path / "inventory", **{file: "topology_size: large\n"})
    assert said in text


def test_files_that_are_somebodys_own_are_left_alone(tmp_path: Path) -> None:
    copies = {"group_vars__all_yml.bak": "topology_size: large\n", "group_vars__README.md": "topology_size: large\n"}
    assert told(tmp_path / "inventory", group_vars__prod_yml="own: 1\n", **copies) == []


@pytest.mark.parametrize("other", ["staging.ini", "staging/hosts.yml", "inventories/staging/hosts"])
def test_files_may_be_shared_with_other_inventories(tmp_path: Path, other: str) -> None:
    files = {"group_vars__staging_yml": "topology_size: large\n", "host_vars__vm2_yml": "topology_size: large\n"}
    assert len(told(tmp_path / "inventory", **files)) == 2
    (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / other).write_text("[staging]\nvm2 ansible_host=192.0.2.1\n")
    assert told(tmp_path / "inventory") == []


def test_places_are_those_of_the_inventory_and_the_playbook(tmp_path: Path) -> None:
    hosts = tmp_path / "staging" / "hosts.yml"
    hosts.parent.mkdir()
    hosts.write_text("")
    found = directories([str(hosts), str(tmp_path / "staging"), "db1,db2,"], str(tmp_path))
    assert sorted(found) == [tmp_path, tmp_path / "staging"]


def test_a_list_of_hosts_that_is_longer_than_a_path_is_no_path(tmp_path: Path) -> None:
    hosts = ",".join(f"web{number}" for number in range(1000))
    assert directories([hosts, str(tmp_path)]) == [tmp_path]
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "prod.yml").write_text("topology_size: large\n")
    assert len(check_files(DataLoader(), [tmp_path], NAMES, OURS, [hosts, str(tmp_path)])) == 1
