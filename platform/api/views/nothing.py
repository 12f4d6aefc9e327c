"""What is not there, said as a problem document."""

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.base import PublicViewSet
from common.errors import NotFound


@extend_schema(exclude=True)
class Nothing(PublicViewSet):
    def nothing(self, _request: Request) -> Response:
        raise NotFound(_("There is no such address in this API."), hint="GET /api/v1/openapi.json lists all")
