"""What can go wrong while a model is made, each in words for the person who makes it."""

from serving.errors import EpmError


class _AtTheTerminal(EpmError):
    """An error that no protocol carries, so its message stays whole: a report of the worst rows is long."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message, field=field)
        self.message = message
        self.args = (message,)


class DataError(_AtTheTerminal):
    """A table, mapping or parameter that cannot be used as it is."""

    @classmethod
    def cell(cls, line: int, column: str, came: str, expected: str) -> "DataError":
        """The usual sentence. line: line of the file, the header being line 1."""
        return cls(f"line {line}, column {column!r}: got {came}, expected {expected}", field=column)


class ParityError(_AtTheTerminal):
    """An exported model that does not answer as the trained model does. Nothing is published."""


class PublishError(_AtTheTerminal):
    """A version that cannot be put into the repository, or one that lies there and is broken."""
