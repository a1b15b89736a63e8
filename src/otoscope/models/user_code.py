"""The user's own Python code, named as ``module:function``.

It is imported from the working folder or ``sys.path`` and runs with the user's rights, as any
import does. Only ever pass names that the user typed, never names found in a delivered file.
"""

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

from torch import nn

from otoscope.errors import ModelError, SpecError
from otoscope.registry import did_you_mean

_COUNT_NAMES = frozenset({"classes", "num_classes", "n_classes", "class_count"})


def import_named(name: str) -> Any:
    """Import what ``module:function`` names. Raises ``SpecError`` when it is not there."""
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise SpecError(f"expected module:function, such as my_models:make, got {name!r}")
    added = str(Path.cwd())
    sys.path.insert(0, added)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise SpecError(
            f"{name!r}: cannot import {module_name!r} from the working folder or sys.path ({error})"
        ) from None
    except Exception as error:
        raise SpecError(f"{name!r}: importing {module_name!r} failed ({_told(error)})") from error
    finally:
        sys.path.remove(added)
    found = getattr(module, attribute, None)
    if found is None:
        public = {k: v for k, v in vars(module).items() if not k.startswith("_")}
        raise SpecError(
            f"module {module_name!r} has no {attribute!r}{did_you_mean(attribute, public)}"
        )
    return found


def make_network(factory: str, classes: int) -> nn.Module:
    """Call ``module:function`` for an untrained network.

    The number of classes is passed when the function has a parameter called ``classes``,
    ``num_classes``, ``n_classes`` or ``class_count``, or exactly one that it requires.
    """
    function = import_named(factory)
    if not callable(function):
        raise SpecError(f"{factory!r}: expected a function that makes a network, got {function!r}")
    parameters = inspect.signature(function).parameters.values()
    named = next((p.name for p in parameters if p.name in _COUNT_NAMES), None)
    required = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if len(required) > 1:
        raise SpecError(
            f"{factory!r}: expected a function of no argument or of the number of classes, got "
            f"one that requires {', '.join(p.name for p in required)}"
        )
    passed = named or (required[0].name if required else None)
    try:
        network = function(**({passed: classes} if passed else {}))
    except Exception as error:
        raise ModelError(f"{factory!r}: making the network failed ({_told(error)})") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"{factory!r}: expected a torch.nn.Module, got {type(network).__name__}")
    return network


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
