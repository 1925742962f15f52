"""mx.log: loggers whose lines begin with level, time, process and place, in colours on a terminal."""

from __future__ import annotations

import logging
import warnings
from typing import Any

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "INFO",
    "NOTSET",
    "WARNING",
    "getLogger",
    "get_logger",
]

CRITICAL = logging.CRITICAL
ERROR = logging.ERROR
WARNING = logging.WARNING
INFO = logging.INFO
DEBUG = logging.DEBUG
NOTSET = logging.NOTSET

_LETTERS = {CRITICAL: "C", ERROR: "E", WARNING: "W", INFO: "I", DEBUG: "D"}
_RED, _GREEN, _BLUE, _NORMAL = "\x1b[31m", "\x1b[32m", "\x1b[34m", "\x1b[0m"


class _Formatter(logging.Formatter):
    def __init__(self, colours: bool):
        super().__init__(datefmt="%m%d %H:%M:%S")
        self._colours = colours

    def formatMessage(self, record: logging.LogRecord) -> str:
        head = f"{_LETTERS.get(record.levelno, 'U')}{record.asctime} {record.process} "
        head += f"{record.pathname}:{record.funcName}:{record.lineno}]"
        if self._colours:
            colour = _RED if record.levelno >= WARNING else _GREEN if record.levelno >= INFO else _BLUE
            head = f"{colour}{head}{_NORMAL}"
        return f"{head} {record.message}"

    def usesTime(self) -> bool:
        return True


def get_logger(
    name: str | None = None, filename: Any = None, filemode: str | None = None, level: int = WARNING
) -> logging.Logger:
    """The logger of a name, which writes to the error stream or to a file (`filemode` is `a` by default).

    It is prepared when the name is first asked for; the root logger (no name) is left as it is.
    """
    logger = logging.getLogger(name)
    if name is not None and not getattr(logger, "_prepared", False):
        logger._prepared = True  # type: ignore[attr-defined]
        handler: logging.Handler
        if filename:
            handler = logging.FileHandler(filename, filemode or "a")
        else:
            handler = logging.StreamHandler()
            handler.setFormatter(_Formatter(colours=True))
        logger.addHandler(handler)
        logger.setLevel(level)
    return logger


def getLogger(
    name: str | None = None, filename: Any = None, filemode: str | None = None, level: int = WARNING
) -> logging.Logger:
    """The old name of `get_logger`."""
    warnings.warn("getLogger is deprecated; use get_logger", DeprecationWarning, stacklevel=2)
    return get_logger(name, filename, filemode, level)
