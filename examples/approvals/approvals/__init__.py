# SPDX-License-Identifier: GPL-3.0-or-later
"""Approvals on Temporal: somebody asks, one approver after the other is asked, and everything is written down."""
