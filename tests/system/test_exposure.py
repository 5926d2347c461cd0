# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs applications is sandboxed, by the account of systemd itself."""

from __future__ import annotations

import json

from vm import Vm

# Ours of PM2, and instances that the role systemd_worker made.
UNITS = ("*-pm2.service", "*@*.*.*.service")
HIGHEST = 2.0


def test_units_of_applications_are_sandboxed(vm: Vm) -> None:
    listed = json.loads(vm.run("systemctl", "list-units", "--output=json", *UNITS))
    names = [unit["unit"] for unit in listed]
    assert names, "no application runs on this host"
    for name in names:
        rows = json.loads(vm.run("systemd-analyze", "security", "--json=short", name))
        text = vm.run("systemd-analyze", "security", "--no-pager", name)
        exposure = float(text.rpartition(f"{name}:")[2].split()[0])
        print(f"exposure of {name}: {exposure}")
        worst = sorted((row for row in rows if row.get("exposure")), key=lambda row: -float(row["exposure"]))[:5]
        assert exposure <= HIGHEST, f"{name} has {exposure}; most of it: {[row['name'] for row in worst]}"
