# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole directories as declared. The argument spec is OPTIONS in module_utils/_directories.py."""

from __future__ import annotations


class ModuleDocFragment:
    """Use as C(durable.temporal.directories)."""

    DOCUMENTATION = r"""
options:
  directories:
    description: The directories, in the order in which they are worked on (parents first).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path of the directory.
        type: path
        required: true
      create:
        description:
          - Whether to make the directory, and its parents, when it is missing.
          - When V(false), a missing directory is an error only if O(directories[].files) has something to put there.
        type: bool
        default: false
      owner:
        description: User name or number that owns the directory and its files. Left as it is when unset.
        type: str
      group:
        description: Group name or number of the directory and its files. Left as it is when unset.
        type: str
      mode:
        description: Octal permissions of the directory, as a string. Left as they are when unset.
        type: str
      files:
        description: File name to content, for the files that must be there.
        type: dict
        default: {}
      file_mode:
        description: Octal permissions of the files, as a string.
        type: str
        default: "0644"
      prune:
        description:
          - Shell patterns of names that nothing but O(directories[].files) may own; files and symbolic links that match
            are removed. Directories are never removed.
        type: list
        elements: str
        default: []
      keep:
        description: Shell patterns of names that are not removed although O(directories[].prune) matches them.
        type: list
        elements: str
        default: []
      links:
        description: Name to target, for the symbolic links that must be there.
        type: dict
        default: {}
      mark:
        description:
          - Text in the first three lines of every file of ours. With it, O(directories[].prune) removes only such files, and files
            of packages of dpkg that nobody has changed; and a file of somebody else with a name in O(directories[].files) is an
            error. Without it, everything in the directory is ours.
        type: str
        default: ""
      edits:
        description:
          - Name to replacements, for files of others that must have some other values. Each is a regular expression, whose first
            group stays, with the text that comes after it. A file that is not there is left so.
        type: dict
        default: {}
      apply:
        description: For M(durable.temporal.directory_contents), whether its C(apply_command) is about this directory.
        type: bool
        default: true
  secrets:
    description:
      - Path to content, for files in O(directories) that hold secrets. They have the owner and O(directories[].file_mode)
        of their directory. Their contents are never logged, returned or shown in a diff.
    type: dict
    default: {}
  expected:
    description: Files that, where they exist, must hold exactly this; otherwise the module fails and changes nothing.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file.
        type: path
        required: true
      content:
        description: What it must hold.
        type: str
        required: true
      explanation:
        description: What to tell the operator when it holds something else.
        type: str
        required: true
"""
