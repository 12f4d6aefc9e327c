"""Whether something answers already."""

import http.client
import json
from pathlib import Path


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


def lab_ready(state_dir: Path, *, pid: int | None) -> bool:
    """Whether the lab of this pid has written that all its BMCs listen."""
    try:
        said = json.loads((state_dir / "ready.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.get("pid") == pid
