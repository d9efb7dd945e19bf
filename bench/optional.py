"""Packages of others, which need not be installed."""

from __future__ import annotations

import importlib
from typing import Any


def imported(name: str) -> Any:
    """Return the module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
