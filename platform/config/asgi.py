import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from config.handler import ThreadedHandler  # noqa: E402 - after setup, as Django's own get_asgi_application() has it

application = ThreadedHandler()
