"""Writes of this room, by topic; callers import from here."""

from accounts.services.api_keys import NewApiKey, make_api_key, revoke_api_key, touch_api_key
from accounts.services.members import (
    NewInvitation,
    accept_invitation,
    change_role,
    invite,
    remove_member,
    withdraw_invitation,
)
from accounts.services.ssh_keys import add_ssh_key, remove_ssh_key
from accounts.services.tenants import (
    TenantFacts,
    accept_documents,
    judge_vat_id,
    reinstate_tenant,
    screen_tenant,
    set_node_limit,
    sign_up_tenant,
    suspend_tenant,
    update_tenant_facts,
)

__all__ = [
    "NewApiKey",
    "NewInvitation",
    "TenantFacts",
    "accept_documents",
    "accept_invitation",
    "add_ssh_key",
    "change_role",
    "invite",
    "judge_vat_id",
    "make_api_key",
    "reinstate_tenant",
    "remove_member",
    "remove_ssh_key",
    "revoke_api_key",
    "screen_tenant",
    "set_node_limit",
    "sign_up_tenant",
    "suspend_tenant",
    "touch_api_key",
    "update_tenant_facts",
    "withdraw_invitation",
]
