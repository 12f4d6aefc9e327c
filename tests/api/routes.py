"""Every route of the product, walked from the URL resolver, so that no test can forget one."""

from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Route:
    """``path`` with ``{ref}`` in place of parameters; ``methods`` are those the view answers."""

    namespace: str
    name: str
    path: str
    methods: tuple[str, ...]
    view: object

    @property
    def takes_ref(self):
        return "{" in self.path

    def __str__(self):
        return f"{self.namespace}:{self.name}"


def routes(namespace):
    """All routes below ``namespace`` (``api`` or ``portal``)."""
    return [route for route in _walk(get_resolver().url_patterns, "/", "") if route.namespace == namespace]


def _walk(patterns, prefix, namespace):
    for entry in patterns:
        if isinstance(entry, URLResolver):
            below = prefix + str(entry.pattern).lstrip("^")
            yield from _walk(entry.url_patterns, below, entry.namespace or namespace)
        elif isinstance(entry, URLPattern):
            path = prefix + str(entry.pattern)
            for name, converter in getattr(entry.pattern, "converters", {}).items():
                spelled = type(converter).__name__.removesuffix("Converter").lower()
                path = path.replace(f"<{spelled}:{name}>", f"{{{name}}}").replace(f"<{name}>", f"{{{name}}}")
            yield Route(namespace, entry.name or "", path, _methods(entry.callback), entry.callback)


def _methods(callback):
    actions = getattr(callback, "actions", None)
    if actions is not None:
        return tuple(method for method in METHODS if method in actions)
    view_class = getattr(callback, "view_class", None)
    if view_class is not None:
        return tuple(method for method in METHODS if hasattr(view_class, method))
    return ("get", "post")
