"""Components by name: find one, build one from a spec, get the spec back.

A component is a frozen dataclass with a class attribute ``name``; its fields are its whole
configuration, so ``build(TABLE, spec(x)) == x``. Tables are written by hand beside the components;
a third party adds one through the entry-point group that has the table's name
(``otoscope.triggers``, ``otoscope.label_shifts``, ``otoscope.detectors``, ``otoscope.networks``).
The text form, ``name:key=value,key=value``, joins the items of a tuple with ``+``. A field may hold
components of the same table: each is a spec of its own, in text within brackets,
``stack:parts=(tone:frequency_hz=440,position_s=0)+(echo)``.
"""

import dataclasses
import difflib
import math
import types
import typing
from abc import ABC
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Generic, TypeVar, final

from otoscope.errors import SpecError

T = TypeVar("T")
Spec = dict[str, Any]


class Table(Mapping[str, type[T]], Generic[T]):
    """A read-only mapping from a component's name to its class.

    ``kind`` is what a message calls one of them ("trigger"); ``group`` is the entry-point group
    that is searched when a name is not in the table. Iteration lists the table's own components.
    """

    def __init__(self, kind: str, group: str, *components: type[T]) -> None:
        self.kind, self.group = kind, group
        self._classes: dict[str, type[T]] = {_name(c): c for c in components}

    def __getitem__(self, name: str) -> type[T]:
        if name in self._classes:
            return self._classes[name]
        points = entry_points(group=self.group)
        if name in points.names:
            return self._load(points[name])
        known = sorted({*self._classes, *points.names})
        raise SpecError(
            f"there is no {self.kind} called {name!r}{did_you_mean(name, known)}"
            f"; there are: {', '.join(known)}"
        )

    def _load(self, point: EntryPoint) -> type[T]:
        """A third party's component; it must keep the convention that ``build`` relies on."""
        found: type[T] = point.load()
        if not dataclasses.is_dataclass(found) or getattr(found, "name", None) != point.name:
            raise SpecError(
                f"the entry point {point.name!r} in {self.group} gives {point.value}; expected a "
                f"frozen dataclass whose class attribute name is {point.name!r}"
            )
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


class Checked(ABC):
    """A component that refuses numbers which are not finite, and what its own checks refuse.

    Subclasses are frozen dataclasses. Raises ``SpecError``, with the component's name before the
    message.
    """

    name: ClassVar[str]

    @final
    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            finite = not isinstance(value, int | float) or math.isfinite(value)
            self._require(finite, f"{field.name} must be a finite number, got {value}")
        self._check_kind()
        self._check()

    def _check_kind(self) -> None:  # noqa: B027 - a kind may have no rules of its own
        """Refuse what all components of this kind refuse."""

    def _check(self) -> None:  # noqa: B027 - there may be nothing to refuse
        """Refuse parameters that make no sense, with ``_require``."""

    @final
    def _require(self, condition: bool, message: str) -> None:
        """Raise ``SpecError``, with the component's name before the message, unless it holds."""
        require(condition, f"{self.name}.{message}")


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
    own = [f for f in dataclasses.fields(cls) if f.init]  # type: ignore[arg-type]
    known = {f.name: hints[f.name] for f in own}
    for key in fields:
        if key not in known:
            raise SpecError(
                f"{table.kind} {name!r} has no parameter {key!r}{did_you_mean(key, known)}"
                f"; it has: {', '.join(known) or 'none'}"
            )
    for field in own:
        unset = field.default is dataclasses.MISSING is field.default_factory
        if unset and field.name not in fields:
            raise SpecError(
                f"{table.kind} {name!r} needs a value for {field.name}: {name}:{field.name}=..."
            )
    return cls(**{k: _convert(v, known[k], f"{name}.{k}", table) for k, v in fields.items()})


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
    for part in filter(None, (p.strip() for p in _outside_brackets(rest, ","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise SpecError(f"expected key=value in {text!r}, got {part!r}")
        if key.strip() in fields:
            raise SpecError(f"{key.strip()} is given twice in {text!r}")
        fields[key.strip()] = value.strip()
    return fields


def did_you_mean(name: str, known: Iterable[str]) -> str:
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
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return spec(value) if dataclasses.is_dataclass(value) else value


def text(component: Any) -> str:
    """The component in the text form that ``build`` reads."""
    return _text(spec(component))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        fields = ",".join(f"{k}={_text(v)}" for k, v in value.items() if k != "name")
        return f"{value['name']}:{fields}" if fields else str(value["name"])
    if isinstance(value, list):
        return "+".join(f"({_text(v)})" if isinstance(v, dict) else _text(v) for v in value)
    return str(value)


def _outside_brackets(text: str, separator: str) -> Iterator[str]:
    """Split at a separator that stands in no bracket."""
    depth = start = 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == separator and depth == 0:
            yield text[start:at]
            start = at + 1
    if depth != 0:
        raise SpecError(f"the brackets in {text!r} do not match")
    yield text[start:]


def _convert(value: Any, wanted: Any, where: str, table: Table[Any]) -> Any:
    """Turn text or JSON into the field's type: numbers, truth values, text, optional, tuples,
    components of the same table."""
    origin, options = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        return _convert(value, next(o for o in options if o is not type(None)), where, table)
    if origin is typing.Literal:
        if value in options:
            return value
        raise SpecError(f"{where}: expected one of {', '.join(map(str, options))}, got {value!r}")
    if origin is tuple:
        items = [*filter(None, _outside_brackets(value, "+"))] if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise SpecError(f"{where}: expected values joined by '+', or a list, got {value!r}")
        return tuple(_convert(item, options[0], where, table) for item in items)
    if wanted is bool:
        return _truth(value, where)
    if dataclasses.is_dataclass(wanted) and isinstance(value, str | Mapping):
        if isinstance(value, str) and value.startswith("(") and value.endswith(")"):
            value = value[1:-1]
        return build(table, value)
    return _scalar(value, wanted, where) if wanted in (int, float, str) else value


def _truth(value: Any, where: str) -> bool:
    text = str(value).lower()
    if text in ("true", "1", "yes"):
        return True
    if text in ("false", "0", "no"):
        return False
    raise SpecError(f"{where}: expected true or false, got {value!r}")


def _scalar(value: Any, wanted: type, where: str) -> int | float | str:
    """A finite number, a whole one, or text; a truth value is none of these."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            made: int | float | str = wanted(value)
        except (ValueError, OverflowError):
            made = math.nan
        whole = wanted is not int or not isinstance(value, float) or value == made
        if whole and (isinstance(made, str) or math.isfinite(made)):
            return made
    kind = {int: "a whole number", float: "a number", str: "text"}[wanted]
    raise SpecError(f"{where}: expected {kind}, got {value!r}")
