"""What the experiment files of past pools among the test assets call; they name this module."""

from tests.support.tasks import nothing

__all__ = ["nothing"]
