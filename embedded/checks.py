"""`make check`: everything that can be said about the tree without running the product's tests."""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from embedded.demo import REPOSITORY
from embedded.docs_links import broken_links
from embedded.environment import inherited_environment, make_state_folders, platform_environment
from embedded.errors import EmbeddedError
from embedded.lifeline import Lifeline
from embedded.postgres import Postgres
from embedded.redis import Redis

CHECK_TIMEOUT_S = 900


@dataclass(frozen=True, kw_only=True)
class Check:
    """A program whose exit code is the verdict."""

    name: str
    arguments: list[str]
    extra: dict[str, str] = field(default_factory=dict)


def checks(folder: Path) -> list[Check]:
    """All of them; `folder` takes what they write."""
    tools = Path(sys.executable).parent
    manage = [sys.executable, "manage.py"]
    https = {"CHAPEK_PUBLIC_URL": "https://chapek.example", "CHAPEK_ALLOWED_HOSTS": "chapek.example"}
    schema = str(folder / "openapi.yaml")
    return [
        Check(name="ruff check", arguments=[str(tools / "ruff"), "check", "."]),
        Check(name="ruff format", arguments=[str(tools / "ruff"), "format", "--check", "."]),
        Check(name="layers", arguments=[str(tools / "lint-imports")]),
        Check(name="mypy", arguments=[sys.executable, "-m", "mypy", "."]),
        Check(name="migrations", arguments=[*manage, "makemigrations", "--check", "--dry-run"]),
        Check(name="OpenAPI", arguments=[*manage, "spectacular", "--validate", "--fail-on-warn", "--file", schema]),
        Check(name="deployment", arguments=[*manage, "check", "--deploy", "--fail-level", "WARNING"], extra=https),
    ]


def run(check: Check, environment: dict[str, str]) -> bool:
    """Run one check; say its verdict, and its output when that is bad."""
    started_s = time.monotonic()
    try:
        done = subprocess.run(
            check.arguments,
            cwd=REPOSITORY,
            env=environment | check.extra,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=CHECK_TIMEOUT_S,
            check=False,
        )
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        code, output = 1, f"more than {error.timeout:g} s"
    verdict = "ok" if code == 0 else "FAILED"
    sys.stdout.write(f"{check.name:<13} {verdict} ({time.monotonic() - started_s:.1f} s)\n")
    if code:
        sys.stdout.write(output.rstrip() + "\n")
    sys.stdout.flush()
    return code == 0


def main() -> int:
    lifeline = Lifeline()
    with tempfile.TemporaryDirectory(prefix="chapek-check-") as name:
        folder = Path(name)
        make_state_folders(folder)
        postgres, redis = Postgres(state_dir=folder, fast=True), Redis(state_dir=folder)
        try:
            lifeline.hold(postgres.start().pid)
            lifeline.hold(redis.start().pid)
            postgres.create_database()
            environment = inherited_environment() | platform_environment(
                state_dir=folder, database_url=postgres.url(), redis_url=redis.url, public_url="http://127.0.0.1:8000"
            )
            environment["MYPY_FORCE_COLOR"] = os.environ.get("MYPY_FORCE_COLOR", "0")
            verdicts = [run(check, environment) for check in checks(folder)]
        except EmbeddedError as error:
            sys.stderr.write(f"chapek: {error}\n")
            return 1
        finally:
            redis.stop()
            postgres.remove()
            lifeline.release()
    links = broken_links(REPOSITORY)
    sys.stdout.write(f"{'docs links':<13} {'FAILED' if links else 'ok'}\n")
    sys.stdout.writelines(f"{link}\n" for link in links)
    return 0 if all(verdicts) and not links else 1


if __name__ == "__main__":
    raise SystemExit(main())
