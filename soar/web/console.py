"""The console."""

from __future__ import annotations

from fastapi import FastAPI

from soar.web.services import Services

__all__ = ["console"]


def console(app: FastAPI, services: Services) -> None:
    """Add the console's pages."""
