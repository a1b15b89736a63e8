"""Components by name: find one, build one from a spec, get the spec back.

A component is a frozen dataclass with a class attribute ``name``; its fields are its whole
configuration, so ``build(TABLE, spec(x)) == x``. Tables are written by hand beside the components;
a third party adds one through the entry-point group that has the table's name
(``otoscope.triggers``, ``otoscope.label_shifts``, ``otoscope.detectors``, ``otoscope.networks``).
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from otoscope.errors import SpecError

T = TypeVar("T")
Spec = dict[str, Any]


class Table(Mapping[str, type[T]], Generic[T]):
    """A read-only mapping from a component's name to its class.

    ``kind`` is what a message calls one of them ("trigger"); ``group`` is the entry-point group
    that is searched, once, when a name is not in the table.
    """

    def __init__(self, kind: str, group: str, *components: type[T]) -> None:
        self.kind, self.group = kind, group
        self._classes: dict[str, type[T]] = {_name(c): c for c in components}

    def __getitem__(self, name: str) -> type[T]:
        if name in self._classes:
            return self._classes[name]
        for point in entry_points(group=self.group, name=name):
            found: type[T] = point.load()
            return found
        raise SpecError(
            f"there is no {self.kind} called {name!r}"
            + did_you_mean(name, self._classes)
            + f"; there are: {', '.join(sorted(self._classes))}"
        )

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


def build(table: Table[T], description: str | Mapping[str, Any]) -> T:
    """Make a component from ``"tone:frequency_hz=3000,level_db=-20"`` or ``{"name": "tone", ...}``.

    Raises ``SpecError`` for an unknown name or field, for a value of the wrong type and for one
    that the component itself refuses.
    """
    fields = dict(parse(description) if isinstance(description, str) else description)
    name = fields.pop("name", None)
    if not isinstance(name, str):
        raise SpecError(f"a {table.kind} spec needs a name, got {description!r}")
    cls = table[name]
    hints = typing.get_type_hints(cls)
    known = {f.name: hints[f.name] for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    values = {}
    for key, value in fields.items():
        if key not in known:
            raise SpecError(
                f"{table.kind} {name!r} has no parameter {key!r}"
                + did_you_mean(key, known)
                + f"; it has: {', '.join(known) or 'none'}"
            )
        values[key] = _convert(value, known[key], f"{name}.{key}")
    try:
        return cls(**values)
    except TypeError as error:
        raise SpecError(f"{table.kind} {name!r}: {error}") from None


def spec(component: Any) -> Spec:
    """The component's name and fields as plain JSON values."""
    fields = {
        f.name: _plain(getattr(component, f.name)) for f in dataclasses.fields(component) if f.init
    }
    return {"name": _name(type(component)), **fields}


def parse(text: str) -> Spec:
    """Split ``name:key=value,key=value`` into a spec whose values are still text."""
    name, _, rest = text.partition(":")
    fields: Spec = {"name": name.strip()}
    for part in filter(None, (p.strip() for p in rest.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise SpecError(f"expected key=value in {text!r}, got {part!r}")
        fields[key.strip()] = value.strip()
    return fields


def did_you_mean(name: str, known: Mapping[str, Any]) -> str:
    """``"; did you mean 'tone'?"``, or nothing when no known name is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def require(condition: bool, message: str) -> None:
    """Raise ``SpecError(message)`` unless ``condition`` holds: for a component's own checks."""
    if not condition:
        raise SpecError(message)


def _name(cls: type) -> str:
    return str(getattr(cls, "name"))  # noqa: B009 - the attribute is promised by convention


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _convert(value: Any, wanted: Any, where: str) -> Any:
    """Turn text or JSON into the field's type: numbers, truth values, text, optional, tuples."""
    origin, options = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        return _convert(value, next(o for o in options if o is not type(None)), where)
    if origin is typing.Literal:
        if value in options:
            return value
        raise SpecError(f"{where}: expected one of {', '.join(map(str, options))}, got {value!r}")
    if origin is tuple:
        items = value.split("+") if isinstance(value, str) else value
        return tuple(_convert(item, options[0], where) for item in items)
    if wanted is bool:
        text = str(value).lower()
        if text in ("true", "1", "yes"):
            return True
        if text in ("false", "0", "no"):
            return False
    elif wanted in (int, float, str):
        try:
            if wanted is not int or not isinstance(value, float) or value.is_integer():
                return wanted(value)
        except (TypeError, ValueError):
            pass
    else:
        return value
    raise SpecError(f"{where}: expected {wanted.__name__}, got {value!r}")
