"""Which room listens to which event, and who fills which port: all of it on this screen."""


def connect() -> None:
    """Called once when Django is ready."""
