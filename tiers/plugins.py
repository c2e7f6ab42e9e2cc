"""Classes from outside the repository: ``module:Class`` or ``file.py:Class``, found on the plug-in path."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tiers.errors import ConfigError
from tiers.plain import told


@dataclass(frozen=True, slots=True)
class External:
    """A class by its place: ``where`` is a file ``path/file.py`` or a module ``package.module``."""

    where: str
    class_name: str

    @property
    def is_file(self) -> bool:
        return self.where.endswith(".py")


def external(name: str) -> External | None:
    """The class outside the repository that ``name`` means; ``None`` for a name of one of our own."""
    where, _, class_name = name.rpartition(":")
    return External(where, class_name) if where and class_name.isidentifier() else None


def load_class(name: str, base: type[Any], search: Sequence[str] = ()) -> Any:
    """The class that ``name`` means, a subclass of ``base``.

    Args:
        name: ``package.module:Class``, or ``path/file.py:Class`` with a path that is absolute or below
            one of ``search``.
        base: what it must derive from.
        search: directories of plug-ins, in order.

    Raises:
        ConfigError: no such file, module or class; it fails while it is imported; it is of another kind.
    """
    place = external(name)
    if place is None:
        raise ConfigError(f"{name}: is no class; write file.py:Class")
    where, class_name = place.where, place.class_name
    try:
        module = _from_file(where, search) if place.is_file else _from_module(where, search)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # a plug-in may raise anything while it is imported
        raise ConfigError(f"{name}: cannot import {where} ({told(error)})") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise ConfigError(f"{name}: {where} has no class {class_name}")
    if not issubclass(found, base):
        home = base.__module__.removesuffix(".base")
        raise ConfigError(f"{name}: {class_name} must derive from {home}.{base.__qualname__}")
    return found


def _from_file(where: str, search: Sequence[str]) -> ModuleType:
    tried = [Path(where)] if Path(where).is_absolute() else [Path(folder, where) for folder in search]
    path = next((path for path in tried if path.is_file()), None)
    if path is None:
        looked = ", ".join(map(str, tried)) or "an empty plug-in path"
        raise ConfigError(f"no plug-in file {where}; looked at {looked}")
    unique = "tiers_plugin_" + "_".join(path.resolve().with_suffix("").parts[1:])
    if unique in sys.modules:
        return sys.modules[unique]
    spec = importlib.util.spec_from_file_location(unique, path)
    assert spec is not None, "a .py file always has a spec"
    assert spec.loader is not None, "and a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module  # dataclasses in the plug-in look their module up here
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[unique]
        raise
    return module


def _from_module(where: str, search: Sequence[str]) -> ModuleType:
    for folder in search:
        if folder not in sys.path:
            sys.path.append(folder)
    return importlib.import_module(where)
