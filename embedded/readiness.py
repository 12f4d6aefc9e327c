"""Whether something answers already."""

import http.client
import socket


def answers_healthy(host: str, port: int, *, path: str = "/healthz", timeout_s: float = 5.0) -> bool:
    """Whether the platform says of itself that it is well."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def listens(host: str, port: int, *, timeout_s: float = 1.0) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False
