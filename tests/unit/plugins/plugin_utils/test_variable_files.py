# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of group and host variables: what Ansible decides in silence is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.durable.temporal.plugins.plugin_utils._variable_files import check_files, directories

OURS = {"topology_applications", "topology_size", "temporal_version"}


def told(place: Path, **files: str) -> list[str]:
    for name, content in files.items():
        file = place / name.replace("__", "/").replace("_yml", ".yml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return [p.text for p in check_files(DataLoader(), directories([str(place)]), {"all", "ungrouped", "app"}, OURS)]


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


def test_the_file_of_a_group_that_nobody_has_is_told(tmp_path: Path) -> None:
    (text,) = told(
        tmp_path, group_vars__apps_yml="topology_size: large\n", group_vars__production_yml="topology_size: small\n"
    )
    assert "group_vars/apps is not read: no group has that name. Did you mean app?" in text


def test_places_are_those_of_the_inventory_and_the_playbook(tmp_path: Path) -> None:
    hosts = tmp_path / "staging" / "hosts.yml"
    hosts.parent.mkdir()
    hosts.write_text("")
    found = directories([str(hosts), str(tmp_path / "staging"), "db1,db2,"], str(tmp_path))
    assert sorted(found) == [tmp_path, tmp_path / "staging"]
