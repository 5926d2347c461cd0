# SPDX-License-Identifier: GPL-3.0-or-later
"""Reaches the VM as its users do: over SSH, as somebody who may become root. The other flows go through Docker."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from play import ROOT
from test_several_hosts import address

OPERATOR = "admin"
# As the image of a cloud has it: a server, and an account with a key instead of a password.
PREPARE = f"""set -eu
command -v sshd > /dev/null || {{ apt-get -qq update; apt-get -qq install --yes --no-install-recommends openssh-server; }}
id {OPERATOR} > /dev/null 2>&1 || useradd --create-home --shell /bin/bash {OPERATOR}
printf '{OPERATOR} ALL=(ALL) NOPASSWD:ALL\\n' > /etc/sudoers.d/{OPERATOR}
install --directory --mode=0700 --owner={OPERATOR} --group={OPERATOR} ~{OPERATOR}/.ssh
cat > ~{OPERATOR}/.ssh/authorized_keys
chown {OPERATOR}: ~{OPERATOR}/.ssh/authorized_keys
systemctl start ssh
"""


def over_ssh(vm: str, inventory: Path, folder: Path) -> Path:
    """An inventory with the variables of ``inventory`` that reaches its only host over SSH.

    :param vm: name of the container that the host is.
    :param folder: for the inventory, the key and the VM's host key; a new one.
    """
    key, known = folder / "key", folder / "known_hosts"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    prepare = ["docker", "exec", "--interactive", vm, "sh", "-c", PREPARE]
    subprocess.run(prepare, input=key.with_suffix(".pub").read_bytes(), check=True, capture_output=True)
    host_key = subprocess.run(
        ["docker", "exec", vm, "cat", "/etc/ssh/ssh_host_ed25519_key.pub"], check=True, capture_output=True, text=True
    )
    known.write_text(f"{address(vm)} {host_key.stdout}")

    place = folder / "inventory"
    shutil.copytree(inventory, place)
    # Read after hosts.yml, so that this is the connection.
    connection = {
        "ansible_connection": "ansible.builtin.ssh",
        "ansible_host": address(vm),
        "ansible_user": OPERATOR,
        "ansible_become": True,
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={known}",
        "local_checkout": str(ROOT),
    }
    (place / "over_ssh.yml").write_text(json.dumps({"all": {"hosts": {"durable-vm": connection}}}))
    return place
