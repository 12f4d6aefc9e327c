"""The NoCloud seed of a deployment: what cloud-init finds on the partition labelled CIDATA."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from common.errors import InvalidRequest

MAX_USER_DATA_BYTES = 64 * 1024
_HEADER = "#cloud-config\n"
# Keys of cloud-config with which user data would cut the platform off from knowing that the node is up.
_RESERVED_KEYS = frozenset({"phone_home"})
_DEEPEST = 50


@dataclass(frozen=True, kw_only=True)
class Seed:
    meta_data: str = field(repr=False)
    user_data: str = field(repr=False)
    vendor_data: str = field(repr=False)


def check_user_data(text: str) -> None:
    """Raises InvalidRequest for user data that is too long or takes what the platform needs."""
    if len(text.encode()) > MAX_USER_DATA_BYTES:
        raise InvalidRequest(f"user data is longer than {MAX_USER_DATA_BYTES} bytes", field="user_data")
    if "\0" in text:
        raise InvalidRequest("user data is text without zero bytes", field="user_data")
    if not text.startswith("#cloud-config"):
        return
    try:
        keys = set(_top_keys(text))
    except yaml.YAMLError:  # its words repeat the text, which is nobody's business in a log
        raise InvalidRequest("user data says it is cloud-config and is not YAML", field="user_data") from None
    taken = sorted(_RESERVED_KEYS & keys)
    if taken:
        raise InvalidRequest(f"the platform needs {', '.join(taken)} for itself", field="user_data")
    if "<<" in keys:
        raise InvalidRequest("a merge key (<<) at the top level hides what is set", field="user_data")


def _top_keys(text: str) -> Iterator[str]:
    """The keys of the document's mapping, as the parser meets them.

    Read from events and never built: merge keys and aliases can make gigabytes of 64 KiB, and numbers or dates that
    are none end in errors of Python's own.
    """
    depth = 0
    met = 0  # nodes directly inside the document's mapping; even ones are keys
    documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise InvalidRequest("cloud-config is one document", field="user_data")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            if depth == 0 and not isinstance(event, yaml.MappingStartEvent):
                if isinstance(event, yaml.ScalarEvent) and not event.value:
                    continue  # nothing but comments
                raise InvalidRequest("cloud-config is a mapping", field="user_data")
            if depth == 1:
                if met % 2 == 0:
                    if not isinstance(event, yaml.ScalarEvent):
                        raise InvalidRequest("keys of cloud-config are plain words", field="user_data")
                    yield event.value
                met += 1
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _DEEPEST:
                    raise InvalidRequest(f"user data is nested more than {_DEEPEST} deep", field="user_data")


def build(
    *,
    instance_id: str,
    hostname: str,
    ssh_public_keys: list[str],
    deployment_key: str,
    user_data: str,
    phone_home_url: str,
) -> Seed:
    """``deployment_key`` is the one-time authorized_keys line.

    It goes into meta-data as well: user data with ``ssh_authorized_keys`` of its own replaces the vendor's list, while
    keys of the metadata are always added.
    """
    keys = [*ssh_public_keys, deployment_key]
    meta = {"instance-id": instance_id, "local-hostname": hostname, "public-keys": keys}
    vendor = {
        "phone_home": {
            "url": phone_home_url,
            "post": ["pub_key_ed25519", "instance_id", "hostname"],
            "tries": 5,
        },
        "ssh_authorized_keys": [deployment_key],
        "ssh_pwauth": False,
    }
    tenant = user_data or _HEADER + yaml.safe_dump({"ssh_authorized_keys": ssh_public_keys}, sort_keys=False)
    return Seed(
        meta_data=yaml.safe_dump(meta, sort_keys=False, width=10_000),
        user_data=tenant,
        vendor_data=_HEADER + yaml.safe_dump(vendor, sort_keys=False, width=10_000),
    )
