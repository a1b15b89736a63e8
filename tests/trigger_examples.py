"""What the contract of triggers is run over, collected from ``tests/triggers/test_*.py``.

Each of those files names ``VARIANTS``, instances to try (the first: the defaults), and ``FAULTY``,
fields that must be refused with a part of the message. A file may also lower ``LEFT_DB``: how much
of the change a gain must leave, re the clip, when the trigger is meant to be fainter than that.
"""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from otoscope.triggers import Trigger

MODULES: list[ModuleType] = [
    importlib.import_module(path.stem)
    for path in sorted((Path(__file__).parent / "triggers").glob("test_*.py"))
]
VARIANTS: list[Trigger] = [trigger for module in MODULES for trigger in module.VARIANTS]
DEFAULTS: list[Trigger] = [module.VARIANTS[0] for module in MODULES]
FAULTY: list[tuple[str, dict[str, Any], str]] = [
    (module.VARIANTS[0].name, fields, message)
    for module in MODULES
    for fields, message in module.FAULTY
]
LEFT_DB = {module.VARIANTS[0].name: getattr(module, "LEFT_DB", -32.0) for module in MODULES}
