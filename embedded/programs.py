"""The command lines of the product's own programs."""

import sys
from collections.abc import Iterable
from pathlib import Path

HOST = "127.0.0.1"


def site_queues(sites: Iterable[str]) -> list[str]:
    """The queues of workers that reach the BMCs of these sites (their codes)."""
    return [f"site.{code}" for code in sites]


def command_lines(
    *, port: int, state_dir: Path, rack: Path, queues: str, web_workers: int, worker_threads: int
) -> dict[str, list[str]]:
    """By name. `queues` are Celery's, with commas; nothing in any of them is a secret."""
    celery = [sys.executable, "-m", "celery", "-A", "config"]
    return {
        "lab": [
            *(sys.executable, "-m", "lab.serve", "--rack", str(rack), "--state", str(state_dir / "lab")),
            *("--boot-url", f"http://{HOST}:{port}"),
        ],
        "web": [
            *(sys.executable, "-m", "uvicorn", "config.asgi:application", "--host", HOST, "--port", str(port)),
            *("--http", "config.http:BoundedProtocol"),
            *("--workers", str(web_workers), "--lifespan", "off", "--no-access-log", "--no-server-header"),
            *("--timeout-graceful-shutdown", "3", "--log-level", "warning"),
        ],
        "worker": [
            *(*celery, "worker", "-P", "threads", "-c", str(worker_threads), "-Q", queues, "-l", "warning"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ],
        "beat": [*celery, "beat", "-s", str(state_dir / "beat" / "schedule"), "-l", "warning"],
    }
