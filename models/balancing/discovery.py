"""Finds the methods: every concrete component in a slot's folder is selectable by its name."""

import functools
import importlib
import inspect
import pkgutil

import models.balancing as package
from models.balancing.component import SLOTS, Component
from models.errors import InputError, nearest


@functools.cache
def catalogue() -> dict[str, type[Component]]:
    """Every method by name, slot by slot, alphabetical within a slot."""
    found: dict[str, type[Component]] = {}
    for slot in SLOTS:
        for module in pkgutil.iter_modules([f"{path}/{slot}" for path in package.__path__]):
            imported = importlib.import_module(f"{package.__name__}.{slot}.{module.name}")
            for _, member in inspect.getmembers(imported, inspect.isclass):
                if not (
                    issubclass(member, Component) and member.__module__ == imported.__name__ and "name" in vars(member)
                ):
                    continue
                if member.slot != slot:
                    raise TypeError(
                        f"{imported.__name__}: '{member.name}' declares slot '{member.slot}' in folder '{slot}'"
                    )
                if member.name in found:
                    raise TypeError(f"{imported.__name__}: a method '{member.name}' exists already")
                found[member.name] = member
    return found


def component(name: str, slot: str | None = None) -> type[Component]:
    """The method of this name; an unknown one, or one of another slot, is an error that names the nearest."""
    known = catalogue()
    if name not in known:
        names = [n for n, c in known.items() if slot in (None, c.slot)]
        raise InputError(f"no strategy '{name}'{f' in slot {slot!r}' if slot else ''}. {nearest(name, names)}")
    if slot is not None and known[name].slot != slot:
        names = [n for n, c in known.items() if c.slot == slot]
        raise InputError(f"'{name}' acts in slot '{known[name].slot}', not '{slot}'. {nearest(name, names)}")
    return known[name]
