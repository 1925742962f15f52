"""mx.mod: networks that are trained and used."""

from .base import BaseModule
from .module import Module

__all__ = ["BaseModule", "Module"]
