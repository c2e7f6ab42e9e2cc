"""Policies, confidences and models by name: each is a module, and only the one asked for is imported."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from tiers.errors import ConfigError
from tiers.plugins import external, load_class

Base = TypeVar("Base")


class Variants(Generic[Base]):
    """The classes that derive from ``base``: the one in each module of ``package``, and those from outside.

    A variant has the name of its module, so that a new variant is a new file and nothing else. Packages in
    ``package`` are no variants, nor are the module ``base`` and the modules named in ``besides``. With
    ``hyphens``, a name has them where its module's has ``_``. ``older`` has names of before, each with the
    one of today: they are found, and not told.
    """

    def __init__(
        self,
        what: str,
        package: str,
        base: type[Any],
        besides: Collection[str] = (),
        *,
        hyphens: bool = False,
        older: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._what, self._package, self._base = what, package, base
        self._besides = {"base", *besides}
        self._separator = "-" if hyphens else "_"
        self._older = older

    @property
    def names(self) -> list[str]:
        """The names of all variants in the package, sorted; none of them is imported."""
        found = _modules(tuple(importlib.import_module(self._package).__path__))
        return sorted(name.replace("_", self._separator) for name in found - self._besides)

    def __contains__(self, name: str) -> bool:
        """Whether one of the package has, or had, that name."""
        return self.today(name) in self.names

    def today(self, name: str) -> str:
        """The name that stands today for a name of before; any other as it is."""
        return self._older.get(name, name)

    def find(self, name: str, search: Sequence[str] = ()) -> type[Base]:
        """The class of that name.

        Args:
            name: a variant's, or ``file.py:Class``.
            search: directories in which files of plug-ins are looked for.

        Raises:
            ConfigError: there is none.
        """
        if external(name):
            outside: type[Base] = load_class(name, self._base, search)
            return outside
        name = self.today(name)
        if name not in self.names:
            known = ", ".join(self.names)
            raise ConfigError(f"no {self._what} {name!r}; known are {known}, or file.py:Class")
        return self.of_module(name.replace(self._separator, "_"))

    def of_module(self, name: str) -> type[Base]:
        """The class that the module of that name defines.

        Raises:
            ConfigError: it defines none that derives from the base class.
        """
        module = importlib.import_module(f"{self._package}.{name}")
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and issubclass(value, self._base)
                and value.__module__ == module.__name__
                and not inspect.isabstract(value)
            ):
                return value
        raise ConfigError(f"{module.__name__} has no class that derives from {self._base.__qualname__}")


@cache  # what-if makes the policies of ten thousand nodes
def _modules(folders: tuple[str, ...]) -> frozenset[str]:
    """The modules in some folders, without packages."""
    return frozenset(module.name for module in pkgutil.iter_modules(folders) if not module.ispkg)
