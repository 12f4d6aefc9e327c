"""Tenants: who they are, what they accepted; suspended, screened, limited and given credit with a reason."""

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts import services
from accounts.models import ApiKey, LegalAcceptance, LegalDocument, Membership, SshKey, Tenant
from accounts.states import TenantState
from billing import selectors as billing
from billing import services as money
from common.money import Money
from operations.acts import AmountForm, LimitForm, Values, reasoned, state_in
from operations.base import ReadOnlyAdmin, ReadOnlyInline, shown, staff_actor

_VAT = Tenant.VatIdState
_ABOUT_IT = (
    ("reservations_reservation", _("Reservations")),
    ("billing_invoice", _("Invoices")),
    ("billing_ledgertransaction", _("Ledger")),
)


class MembershipInline(ReadOnlyInline):
    model = Membership
    verbose_name_plural = _("members")
    fields = readonly_fields = ("user", "role", "created_at")
    related = ("user",)


class AcceptanceInline(ReadOnlyInline):
    model = LegalAcceptance
    verbose_name_plural = _("accepted texts")
    fields = readonly_fields = ("document", "user", "accepted_at")
    related = ("document", "user")


@admin.register(Tenant)
class TenantAdmin(ReadOnlyAdmin):
    """The buyer's facts are the tenant's own; what the operator decides about it goes through acts."""

    list_display = ("legal_name", "show_state", "country", "vat_id", "show_vat", "max_nodes", "created_at")
    list_filter = ("state", "vat_id_state", "country")
    search_fields = ("ref", "legal_name", "vat_id", "billing_email")
    readonly_fields = ("show_state", "show_vat", "show_balance", "show_links")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("show_state", "state_changed_at"),
                    "suspension_reason",
                    "screening_note",
                    ("max_nodes", "show_balance"),
                    "show_links",
                )
            },
        ),
        (
            _("Buyer"),
            {
                "fields": (
                    ("legal_name", "ref"),
                    ("address_line", "postal_code"),
                    ("city", "country"),
                    ("vat_id", "show_vat"),
                    ("billing_email", "is_business"),
                    "created_at",
                )
            },
        ),
    )
    inlines = (MembershipInline, AcceptanceInline)
    actions_detail = (
        {
            "title": _("Decide"),
            "icon": "rule",
            "items": ["grant_credit", "set_limit", "verify_vat_id", "doubt_vat_id", "screen"],
        },
        "reinstate",
        "suspend",
    )

    @shown(description=_("state"), label={"active": "success", "suspended": "danger"}, ordering="state")
    def show_state(self, tenant: Tenant) -> str:
        return tenant.state

    @shown(description=_("VAT id is"), label={"verified": "success", "unverified": "warning"}, ordering="vat_id_state")
    def show_vat(self, tenant: Tenant) -> str | None:
        return tenant.vat_id_state if tenant.vat_id else None

    @shown(description=_("prepaid, free to use"))
    def show_balance(self, tenant: Tenant) -> str:
        return str(billing.balance(tenant_id=tenant.pk).available)

    @shown(description=_("about it"))
    def show_links(self, tenant: Tenant) -> SafeString:
        query = urlencode({"q": tenant.legal_name})
        links = [(f"{reverse(f'admin:{name}_changelist')}?{query}", label) for name, label in _ABOUT_IT]
        audit = f"{reverse('admin:audit_auditevent_changelist')}?{urlencode({'q': tenant.ref})}"
        return format_html_join(" · ", '<a class="text-link" href="{}">{}</a>', [*links, (audit, _("Audit log"))])

    @reasoned(
        description=_("Suspend"),
        explanation=_("Nothing new starts for this tenant; running nodes go on. The tenant sees the reason."),
        icon="block",
        danger=True,
        when=state_in(TenantState.ACTIVE),
    )
    def suspend(self, request: HttpRequest, tenant: Tenant, values: Values) -> None:
        services.suspend_tenant(tenant=tenant, reason=values["reason"], actor=staff_actor(request))

    @reasoned(
        description=_("Reinstate"),
        explanation=_("The tenant may reserve again."),
        icon="check_circle",
        when=state_in(TenantState.SUSPENDED),
    )
    def reinstate(self, request: HttpRequest, tenant: Tenant, values: Values) -> None:
        services.reinstate_tenant(tenant=tenant, reason=values["reason"], actor=staff_actor(request))

    @reasoned(
        description=_("Note a screening"),
        explanation=_(
            "What was checked about this customer: register, sanctions lists, use. It stays with the operator."
        ),
        icon="policy",
    )
    def screen(self, request: HttpRequest, tenant: Tenant, values: Values) -> None:
        services.screen_tenant(tenant=tenant, note=values["reason"], actor=staff_actor(request))

    @reasoned(
        description=_("VAT id verified"),
        explanation=_(
            "You proved the VAT id (VIES or the register): say how and when. New quotes are taxed accordingly. "
            "The tenant sees the reason."
        ),
        icon="verified",
        when=lambda tenant: tenant.vat_id_state == _VAT.UNVERIFIED,
    )
    def verify_vat_id(self, request: HttpRequest, tenant: Tenant, values: Values) -> None:
        services.judge_vat_id(tenant=tenant, is_verified=True, reason=values["reason"], actor=staff_actor(request))

    @reasoned(
        description=_("VAT id not verified"),
        explanation=_(
            "New quotes are taxed as domestic again; promises made keep their tax. The tenant sees the reason."
        ),
        icon="unpublished",
        when=lambda tenant: tenant.vat_id_state == _VAT.VERIFIED,
    )
    def doubt_vat_id(self, request: HttpRequest, tenant: Tenant, values: Values) -> None:
        services.judge_vat_id(tenant=tenant, is_verified=False, reason=values["reason"], actor=staff_actor(request))

    @reasoned(
        description=_("Set limit"),
        explanation=_("How many nodes the tenant may have at once. What it has already stays."),
        icon="tune",
        form_class=LimitForm,
    )
    def set_limit(self, request: HttpRequest, tenant: Tenant, values: Values) -> None:
        services.set_node_limit(
            tenant=tenant, max_nodes=values["max_nodes"], reason=values["reason"], actor=staff_actor(request)
        )

    @reasoned(
        description=_("Grant credit"),
        explanation=_("Prepaid credit: a bank transfer received, or goodwill. Open invoices are paid from it first."),
        icon="add_card",
        form_class=AmountForm,
    )
    def grant_credit(self, request: HttpRequest, tenant: Tenant, values: Values) -> None:
        money.grant_credit(
            tenant=tenant, amount=Money(values["amount"]), reason=values["reason"], actor=staff_actor(request)
        )


@admin.register(SshKey)
class SshKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "tenant", "algorithm", "bits", "fingerprint", "created_at")
    list_filter = ("algorithm",)
    search_fields = ("name", "fingerprint", "tenant__legal_name")
    list_select_related = ("tenant",)
    ordering = ("-pk",)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "tenant", "prefix", "show_scopes", "created_at", "expires_at", "revoked_at", "last_used_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "prefix", "tenant__legal_name")
    exclude = ("secret_sha256",)
    list_select_related = ("tenant",)

    @shown(description=_("scopes"))
    def show_scopes(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)


@admin.register(LegalDocument)
class LegalDocumentAdmin(ReadOnlyAdmin):
    """Versions are added by a release, never edited: acceptances point at them."""

    list_display = ("kind", "version", "in_force_from", "text_sha256")
    list_filter = ("kind",)
    search_fields = ("version", "text_sha256")
