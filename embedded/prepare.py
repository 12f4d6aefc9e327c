"""What must be there before the programs start; each step is skipped when it was made from just this tree."""

from collections.abc import Callable, Mapping
from pathlib import Path

from embedded.demo import (
    REPOSITORY,
    Login,
    Steps,
    digest,
    migration_files,
    source_files,
    static_files,
)
from embedded.rack import RackFile


def prepare_platform(*, steps: Steps, say: Callable[[str], None]) -> None:
    """Bring the schema and the static files up to date."""
    lock = REPOSITORY / "requirements.lock"
    wanted = digest([lock, *migration_files()])
    if not steps.current("migrate", f"{wanted} {_database_mark(steps)}"):
        say("Migrating the database")
        steps.run("migrate", ["manage.py", "migrate", "--no-input"])
        steps.remember("migrate", f"{wanted} {_database_mark(steps)}")
    static = digest([lock, *static_files()])
    if not steps.current("collectstatic", static, steps.state_dir / "static"):
        say("Collecting static files")
        steps.run("collectstatic", ["manage.py", "collectstatic", "--no-input", "--clear"])
        steps.remember("collectstatic", static)


def prepare_demonstration(
    *, steps: Steps, rack: RackFile, boot_url: str, logins: Mapping[str, Login], say: Callable[[str], None]
) -> None:
    """Make the rack, its images and boot artefacts, and enroll them with two log-ins (a file of mode 0600)."""
    if not rack.path.exists():
        say("Building the emulated rack")
        steps.run("rack", rack.arguments(boot_url=boot_url))
    images, boot = steps.state_dir / "images", steps.state_dir / "boot"
    lab = sorted((REPOSITORY / "lab").glob("*.py"))
    for name, module, folder in (("images", "lab.image", images), ("artefacts", "lab.artefacts", boot)):
        made_from = digest([path for path in lab if path.stem == module.removeprefix("lab.")])
        if not steps.current(name, made_from) or not any(folder.iterdir()):
            say(f"Making the rack's {name}")
            steps.run(name, ["-m", module, "--out", str(folder)])
            steps.remember(name, made_from)
    index = images / "index.json"
    people = [f"{role} {login.email}" for role, login in sorted(logins.items())]
    seeded = digest([rack.path, index, *_seed_files(), *people, _database_mark(steps, identity_only=True)])
    if not steps.current("seed_demo", seeded):
        say("Enrolling the demonstration sites")
        steps.run("seed_demo", ["manage.py", "seed_demo", "--rack", str(rack.path), "--images", str(index)])
        steps.remember("seed_demo", seeded)


def _seed_files() -> list[Path]:
    return [path for path in source_files("*.py") if "seed" in path.stem or "seed" in path.parent.name]


def _database_mark(steps: Steps, *, identity_only: bool = False) -> str:
    """Which database this is and which migrations it has: a restored or replaced one never passes for migrated."""
    import psycopg

    with psycopg.connect(steps.environment["CHAPEK_DATABASE_URL"], connect_timeout=10) as connection:
        identity = connection.execute(
            "SELECT (SELECT oid FROM pg_database WHERE datname = current_database()),"
            " (SELECT system_identifier FROM pg_control_system())"
        ).fetchone()
        if identity_only:
            return str(identity)
        known = connection.execute("SELECT to_regclass('public.django_migrations')").fetchone()
        if known is None or known[0] is None:
            return f"{identity} none"
        rows = connection.execute("SELECT app, name FROM django_migrations ORDER BY app, name").fetchall()
    return f"{identity} {digest(f'{app}.{name}' for app, name in rows)}"
