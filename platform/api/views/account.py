"""The tenant itself: its facts, money and limits."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings

from accounts import permissions, selectors
from accounts.roles import Permission
from accounts.services.api_keys import MOST_API_KEYS
from accounts.services.ssh_keys import MOST_SSH_KEYS
from api.base import BaseViewSet
from api.serializers.accounts import AccountSerializer
from billing import selectors as money
from reservations import selectors as reservations
from reservations.requests import USER_DATA_LIMIT_BYTES


class Account(BaseViewSet):
    needs = {"retrieve": Permission.VIEW}
    serializer_class = AccountSerializer
    pagination_class = None

    @extend_schema(summary="Who you act for, what you may do, money and limits")
    def retrieve(self, _request: Request) -> Response:
        tenant = selectors.tenant_of(actor=self.actor)
        granted = permissions.permissions_of(actor=self.actor)
        may_see_cost = Permission.VIEW_BILLING in granted
        rates = api_settings.DEFAULT_THROTTLE_RATES
        body = {
            "tenant": {
                "id": tenant.ref,
                "legal_name": tenant.legal_name,
                "country": tenant.country,
                "vat_id": tenant.vat_id,
                "vat_id_state": tenant.vat_id_state,
                "state": tenant.state,
                "suspension_reason": tenant.suspension_reason,
            },
            "role": self.actor.role,
            "permissions": sorted(granted),
            "balance": money.balance(tenant_id=tenant.pk) if may_see_cost else None,
            "limits": {
                "nodes": tenant.max_nodes,
                "nodes_held": reservations.live_node_count(tenant_id=tenant.pk),
                "ssh_keys": MOST_SSH_KEYS,
                "api_keys": MOST_API_KEYS,
                "user_data_bytes": USER_DATA_LIMIT_BYTES,
                "reads": rates["read"],
                "writes": rates["write"],
            },
            "documents_to_accept": selectors.documents_to_accept(actor=self.actor),
        }
        return Response(AccountSerializer(body).data)
