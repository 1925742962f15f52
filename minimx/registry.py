"""mx.registry: classes that are created by name, as metrics, initializers and optimizers are."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .base import did_you_mean

__all__ = ["get_alias_func", "get_create_func", "get_register_func", "get_registry"]

_registries: dict[type, dict[str, type]] = {}


def get_registry(base_class: type) -> dict[str, type]:
    """The registered subclasses of a class by lower-case name; a copy."""
    return dict(_registries.get(base_class, {}))


def get_register_func(base_class: type, nickname: str) -> Callable[..., type]:
    """The function that registers a subclass under a name (its own by default). The latest owner of a name has it."""
    registry = _registries.setdefault(base_class, {})

    def register(klass: type, name: str | None = None) -> type:
        if not (isinstance(klass, type) and issubclass(klass, base_class)):
            raise TypeError(f"only subclasses of {base_class.__name__} can be registered as {nickname}, got {klass!r}")
        registry[(name or klass.__name__).lower()] = klass
        return klass

    register.__doc__ = f"Registers a {nickname} class, so that it can be created by name."
    return register


def get_alias_func(base_class: type, nickname: str) -> Callable[..., Callable[[type], type]]:
    """The class decorator that registers a subclass under further names."""
    register = get_register_func(base_class, nickname)

    def alias(*names: str) -> Callable[[type], type]:
        def decorate(klass: type) -> type:
            for name in names:
                register(klass, name)
            return klass

        return decorate

    return alias


def get_create_func(base_class: type, nickname: str) -> Callable[..., Any]:
    """The function that makes an instance from a name, a JSON text `["name", {arguments}]`, a dict of the arguments
    with the name under the nickname, or an instance (kept)."""
    registry = _registries.setdefault(base_class, {})

    def create(name: Any, /, *args: Any, **kwargs: Any) -> Any:
        if isinstance(name, base_class):
            if args or kwargs:
                raise ValueError(f"{nickname} is an instance already; it takes no further arguments")
            return name
        if isinstance(name, str) and name.startswith("{"):
            name = json.loads(name)
        if isinstance(name, dict):
            kwargs = dict(name)
            name = kwargs.pop(nickname)
        if not isinstance(name, str):
            raise TypeError(f"{nickname} must be a name or a {base_class.__name__}, got {type(name).__name__}")
        if name.startswith("["):
            name, kwargs = json.loads(name)
        klass = registry.get(name.lower())
        if klass is None:
            known = ", ".join(sorted(registry))
            raise ValueError(f"there is no {nickname} {name!r}{did_you_mean(name.lower(), registry)}; known: {known}")
        return klass(*args, **kwargs)

    create.__doc__ = f"Makes a {nickname} from a name and arguments."
    return create
