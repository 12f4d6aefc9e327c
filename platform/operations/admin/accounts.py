"""Customers and staff: who they are, what they accepted; suspended and reinstated with a reason."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts import services
from accounts.models import ApiKey, LegalAcceptance, LegalDocument, Membership, SshKey, Tenant, User
from operations.base import OperatorAdmin, ReadOnlyAdmin, ReadOnlyInline, reasoned, staff_actor

admin.site.unregister(Group)


class MembershipInline(ReadOnlyInline):
    model = Membership
    fields = readonly_fields = ("user", "role", "created_at")


class AcceptanceInline(ReadOnlyInline):
    model = LegalAcceptance
    fields = readonly_fields = ("document", "user", "accepted_at")


@admin.register(Tenant)
class TenantAdmin(OperatorAdmin):
    list_display = ("legal_name", "show_state", "country", "vat_id", "vat_id_state", "max_nodes", "created_at")
    list_filter = ("state", "vat_id_state", "country")
    search_fields = ("ref", "legal_name", "vat_id", "billing_email")
    readonly_fields = (
        "ref", "legal_name", "address_line", "postal_code", "city", "country", "vat_id", "vat_id_state", "is_business",
        "billing_email", "state", "state_changed_at", "suspension_reason", "screening_note", "created_at",
    )  # fmt: skip
    inlines = (MembershipInline, AcceptanceInline)
    actions_detail = ("suspend", "reinstate", "screen")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @display(description=_("state"), label={"active": "success", "suspended": "danger", "closed": "info"})
    def show_state(self, tenant: Tenant) -> str:
        return tenant.state

    @reasoned(
        description=_("Suspend"),
        explanation=_("Nothing new starts for this tenant; running nodes go on. The tenant sees the reason."),
        icon="block",
        danger=True,
    )
    def suspend(self, request: HttpRequest, reason: str, object_id: int) -> None:
        services.suspend_tenant(tenant=Tenant.objects.get(pk=object_id), reason=reason, actor=staff_actor(request))

    @reasoned(description=_("Reinstate"), explanation=_("The tenant may reserve again."), icon="check_circle")
    def reinstate(self, request: HttpRequest, reason: str, object_id: int) -> None:
        services.reinstate_tenant(tenant=Tenant.objects.get(pk=object_id), reason=reason, actor=staff_actor(request))

    @reasoned(
        description=_("Note a screening"),
        explanation=_("What was checked about this customer: register, sanctions lists, use."),
        icon="policy",
    )
    def screen(self, request: HttpRequest, reason: str, object_id: int) -> None:
        services.screen_tenant(tenant=Tenant.objects.get(pk=object_id), note=reason, actor=staff_actor(request))


@admin.register(User)
class UserAdmin(DjangoUserAdmin, OperatorAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    ordering = ("email",)
    list_display = ("email", "full_name", "is_staff", "is_active", "date_joined")
    list_filter = ("is_staff", "is_active")
    search_fields = ("email", "full_name", "ref")
    readonly_fields = ("ref", "last_login", "date_joined")
    filter_horizontal = ("user_permissions",)
    fieldsets = (
        (None, {"fields": ("ref", "email", "password", "full_name")}),
        (_("Rights"), {"fields": ("is_active", "is_staff", "is_superuser", "user_permissions")}),
        (_("Times"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "password1", "password2", "is_staff")}),)


@admin.register(SshKey)
class SshKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "tenant", "algorithm", "bits", "fingerprint", "created_at")
    search_fields = ("name", "fingerprint", "tenant__legal_name")
    list_select_related = ("tenant",)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "tenant", "prefix", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at")
    search_fields = ("name", "prefix", "tenant__legal_name")
    exclude = ("secret_sha256",)
    list_select_related = ("tenant",)


@admin.register(LegalDocument)
class LegalDocumentAdmin(ReadOnlyAdmin):
    """Versions are added by a release, never edited: acceptances point at them."""

    list_display = ("kind", "version", "in_force_from", "text_sha256")
