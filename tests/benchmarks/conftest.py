"""Modules that import a peer are no place to look for doctests: peers need not be installed."""

from __future__ import annotations

collect_ignore_glob = ["with_*.py"]
