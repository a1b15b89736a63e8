"""How one attempt to ask a service can fail. These do not leave the package."""


class TryAgain(Exception):
    """It may go better later.

    ``kind`` is the count of ``Spent`` that it adds to; ``charged`` tells that the service may have
    done the work and may charge for it.
    """

    def __init__(
        self, kind: str, message: str, wait_s: float | None = None, charged: bool = False
    ) -> None:
        super().__init__(message)
        self.kind, self.wait_s, self.charged = kind, wait_s, charged


class Forbidden(Exception):
    """The service's policy forbids the request."""
