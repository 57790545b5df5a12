"""The one exception for mistakes of the user."""

__all__ = ["UserError"]


class UserError(Exception):
    """The user asked for something that cannot be; the message is one line that says what to do.

    Whatever is raised as ``UserError`` is shown without a traceback. It lives at the bottom of the
    dependency order, so that every part of the project can raise it.
    """
