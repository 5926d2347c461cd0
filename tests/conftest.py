# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the collection importable under its real name, wherever the checkout lies."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLLECTIONS = ROOT / ".local" / "collections"
LINK = COLLECTIONS / "ansible_collections" / "durable" / "temporal"

if not LINK.exists():
    LINK.parent.mkdir(parents=True, exist_ok=True)
    LINK.symlink_to(ROOT)
sys.path.insert(0, str(COLLECTIONS))
