"""The one way the embedded stack refuses: a line a person can act on, never a traceback."""


class EmbeddedError(RuntimeError):
    """What keeps the embedded stack from running here; the message is one line that says what to do."""


class StoppedError(EmbeddedError):
    """Somebody asked to stop while things were still starting."""
