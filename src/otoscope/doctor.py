"""What is installed, what is missing, and what that disables."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from otoscope.cache import Cache

_DISABLED = {
    "demo": "the embedded demo data (otoscope demo, datasets.demo)",
    "onnx": "auditing ONNX models",
    "llm": "asking a language model (the red team's, and otoscope summarise)",
    "quality": "how well triggered speech is understood and liked (otoscope risk --quality)",
    "redteam": "attackers that search (otoscope redteam, otoscope harden)",
    "serve": "a guard behind an address (otoscope guard without recordings)",
    "bench": "the comparison with other tools (benchmarks/)",
    "dev": "running the project's own checks",
}


def examine() -> Iterator[str]:
    """One line per package, then one per extra that is not whole, then the machine."""
    missing: dict[str, list[str]] = {}
    for requirement in requires("otoscope") or []:
        name, _, condition = requirement.partition(";")
        package = _package(name)
        extra = condition.split("==")[-1].strip(" '\"") if "extra" in condition else ""
        try:
            yield f"{package} {version(package)}" + (f" (extra {extra})" if extra else "")
        except PackageNotFoundError:
            missing.setdefault(extra, []).append(package)
    for extra, packages in missing.items():
        wanted = f"pip install '.[{extra}]'" if extra else "pip install ."
        disabled = _DISABLED.get(extra, "otoscope itself")
        yield f"missing: {', '.join(packages)}; disables {disabled}"
        yield f"  install in a checkout of otoscope with: {wanted}"
    import torch

    yield f"threads: {torch.get_num_threads()}, CUDA: {torch.cuda.is_available()}"
    yield f"cache: {Cache.default().root}"


def _package(requirement: str) -> str:
    end = next((i for i, c in enumerate(requirement) if not (c.isalnum() or c in "-_.")), None)
    return requirement[:end].strip()
