# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rolls builds out by the modules worker_deployment and worker_deployment_health, and shows each step as it happens."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.durable.temporal.plugins.plugin_utils._rollout import (
    DEPLOYMENT,
    Json,
    RolloutError,
    Rollouts,
    leaves,
    problems,
)

STEP: Json = {
    "percentage": {"type": "float", "required": True},
    "watch_seconds": {"type": "float", "default": 60},
}
ROLLOUT: Json = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "build_id": {"type": "str", "required": True},
    "steps": {"type": "list", "elements": "dict", "options": STEP, "default": []},
    "max_failure_percent": {"type": "float", "default": 5},
    "max_schedule_to_start_seconds": {"type": "float", "default": 30},
    "min_workflows": {"type": "int", "default": 0},
    "only_without_current": {"type": "bool", "default": False},
    "prune": {"type": "bool", "default": False},
    "connection": {"type": "dict", "default": {}, "no_log": True},
}
OPTIONS: Json = {
    "rollouts": {"type": "list", "elements": "dict", "required": True, "options": ROLLOUT},
    "wait_seconds": {"type": "float", "default": 60},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Documented in ``plugins/modules/worker_deployment_rollout.py``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        # The rest is the connection, which belongs to the host: its environment completes it.
        connection = {key: value for key, value in self._task.args.items() if key not in OPTIONS}
        validated = ArgumentSpecValidator(OPTIONS).validate(
            {key: value for key, value in self._task.args.items() if key in OPTIONS}
        )
        wrong = validated.error_messages or problems(validated.validated_parameters["rollouts"])
        if wrong:
            raise AnsibleActionFail(" ".join(wrong))
        options = validated.validated_parameters

        def run(module: str, arguments: Json, rollout: Json) -> Json:
            return t.cast(
                "Json",
                self._execute_module(
                    module_name=module,
                    module_args={**connection, **rollout["connection"], **arguments},
                    task_vars=task_vars,
                ),
            )

        if self._task.check_mode:
            return {**result, **_predict(options["rollouts"], run)}
        rollouts = Rollouts(run, Display().display, options["wait_seconds"])
        try:
            rollouts.carry_out(options["rollouts"])
        except RolloutError as error:
            result.update(failed=True, msg=str(error))
        before = {f"{row['namespace']}/{row['name']}": row["previous"] for row in rollouts.rows if _moved(row)}
        after = {f"{row['namespace']}/{row['name']}": row["build_id"] for row in rollouts.rows if _moved(row)}
        result.update(
            changed=any(row["outcome"] != "unchanged" for row in rollouts.rows),
            rollouts=rollouts.rows,
            checks=rollouts.checks,
            diff={"before": before, "after": after},
        )
        return result


def _moved(row: Json) -> bool:
    return bool(row["outcome"] == "current" and row["previous"] != row["build_id"])


def _predict(rollouts: t.Sequence[Json], run: t.Callable[[str, Json, Json], Json]) -> Json:
    """What a real run would change, when all goes well."""
    rows: list[Json] = []
    diff: dict[str, Json] = {"before": {}, "after": {}}
    for rollout in rollouts:
        names = {key: rollout[key] for key in ("name", "namespace")}
        found = run(DEPLOYMENT, {"deployments": [{**names, "current": rollout["build_id"]}]}, rollout)
        if found.get("failed"):
            return found
        moves = found["changed"] and not leaves(rollout, found["deployments"][0])
        previous = found["deployments"][0]["current"]
        versions = found["deployments"][0]["versions"]
        row = {**names, "build_id": rollout["build_id"], "previous": previous}
        rows.append({**row, "outcome": "current" if moves else "unchanged", "steps": [], "versions": versions})
        if moves:
            for side, rows_of_side in diff.items():
                rows_of_side.update(found["diff"][side])
    return {
        "changed": any(row["outcome"] == "current" for row in rows),
        "rollouts": rows,
        "checks": [],
        "diff": diff,
    }
