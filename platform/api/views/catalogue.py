"""What a visitor may know: node types, sites, live stock, prices, images."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.base import PublicViewSet
from api.serializers.catalogue import CatalogueSerializer, ImagesSerializer
from common.clock import database_now
from inventory import selectors as inventory
from reservations import selectors as reservations


class Catalogue(PublicViewSet):
    serializer_class = CatalogueSerializer
    pagination_class = None

    @extend_schema(summary="Node types, sites, live stock and prices per GPU-hour")
    def retrieve(self, _request: Request) -> Response:
        at = database_now()
        body = {
            "effective_at": at,
            "data_state": "fresh",
            "node_types": inventory.offered_node_types(),
            "sites": inventory.open_sites(),
            "stock": reservations.stock(at=at),
        }
        return Response(CatalogueSerializer(body).data, headers={"Cache-Control": "public, max-age=2"})


class Images(PublicViewSet):
    serializer_class = ImagesSerializer
    pagination_class = None

    @extend_schema(summary="Operating system images on offer, the newest version of each")
    def retrieve(self, _request: Request) -> Response:
        return Response(ImagesSerializer({"results": inventory.offered_images()}).data)
