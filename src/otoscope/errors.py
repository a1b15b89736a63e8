"""The error tree. Everything Otoscope raises on purpose is an ``OtoscopeError``.

    OtoscopeError
    |-- AudioError               a recording cannot be used
    |   |-- UnreadableAudio      empty, truncated, not audio, NaN samples
    |   `-- TriggerDoesNotFit    the clip is too short for the trigger
    |-- ManifestError            a list of clips cannot be used
    |-- SpecError                a name or parameter is not known, or out of range
    |-- ModelError               a model file cannot be used
    |   |-- NoSuchModel          there is no file of this name; a SpecError, too
    |   |-- UnsafeModel          loading it would execute code
    |   `-- ModelMismatch        the model and the clips disagree (rate, classes, shape)
    |-- PoisonError              the attack asked for cannot be carried out on these clips
    |-- TrainingError            training cannot start or diverged
    |-- OutputError              a file cannot be written
    |-- NoRoom                   the disk is too full for what memory should not hold
    |-- VerdictError             a file holds no verdict
    |-- LanguageModelError       a language model cannot be asked: no key, wrong address
    |   |-- CapReached           a cap leaves no room for one more request
    |   `-- Unreachable          no answer within the bounds on attempts and time
    |-- MissingExtra             an optional dependency is not installed
    `-- NotApplicable            a detector lacks what it needs; becomes INCONCLUSIVE

A message says what came, what was wanted and what to do.
"""


class OtoscopeError(Exception):
    """Base of every error that Otoscope raises on purpose."""


class AudioError(OtoscopeError):
    """A recording cannot be used."""


class UnreadableAudio(AudioError):
    """A file holds no usable audio: empty, truncated, not audio, or with NaN samples."""


class TriggerDoesNotFit(AudioError):
    """The clip is too short for the trigger, so it would be relabelled but untouched."""


class ManifestError(OtoscopeError):
    """A list of labelled clips cannot be used."""


class SpecError(OtoscopeError):
    """A component's name or parameter is not known, or is out of range."""


class ModelError(OtoscopeError):
    """A model file cannot be used."""


class NoSuchModel(ModelError, SpecError):
    """A model is named that is neither a file nor ``module:function``."""


class UnsafeModel(ModelError):
    """Loading this file would execute code that came with it."""


class ModelMismatch(ModelError):
    """The model and the clips disagree: sample rate, classes or shape."""


class PoisonError(OtoscopeError):
    """The attack that was asked for cannot be carried out on these clips."""


class TrainingError(OtoscopeError):
    """Training cannot start, or diverged."""


class OutputError(OtoscopeError):
    """A file cannot be written."""


class NoRoom(OtoscopeError):
    """The disk is too full for what memory should not hold."""


class VerdictError(OtoscopeError):
    """A file holds no verdict of an audit."""


class LanguageModelError(OtoscopeError):
    """A language model cannot be asked: there is no key, or the service refuses the request."""


class CapReached(LanguageModelError):
    """A cap on tokens, money, queries or seconds leaves no room for one more request."""


class Unreachable(LanguageModelError):
    """No answer came within the bounds on attempts and time."""


class MissingExtra(OtoscopeError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; "
            f"install it in a checkout of otoscope with: pip install '.[{extra}]'"
        )


class NotApplicable(OtoscopeError):
    """A detector lacks what it needs here; the audit reports it as INCONCLUSIVE."""
