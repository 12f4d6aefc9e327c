"""`make down`: ends the supervisor that `make up` started on this state folder, and through it all it started."""

import signal
import sys

from embedded.up import running, state_folder

STOP_TIMEOUT_S = 90


def main() -> int:
    supervisor = running(state_folder())
    if supervisor is None:
        sys.stdout.write("Chapek is not up\n")
        return 0
    # Killed at last, its lifeline still stops its programs.
    if not supervisor.stop(steps=[(signal.SIGTERM, STOP_TIMEOUT_S), (signal.SIGKILL, 10.0)]):
        sys.stderr.write(f"chapek: the supervisor (pid {supervisor.pid}) does not end\n")
        return 1
    sys.stdout.write("Stopped\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
