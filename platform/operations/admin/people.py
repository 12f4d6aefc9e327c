"""Users, their confirmed addresses and second factors. Passwords and second factors are people's own."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.forms import UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts.models import Membership, User
from operations.base import OperatorAdmin, ReadOnlyAdmin, ReadOnlyInline, shown

admin.site.unregister((Group, EmailAddress, Authenticator))


class NewUserForm(UserCreationForm):  # type: ignore[misc]  # unfold carries no types
    def clean_email(self) -> str:
        """One spelling per address, as people's own sign-up keeps it."""
        email = str(self.cleaned_data["email"]).lower()
        if User.objects.filter(email=email).exists():
            raise forms.ValidationError(_("There is a user with this e-mail address."))
        return email


class MembershipInline(ReadOnlyInline):
    model = Membership
    verbose_name_plural = _("member of")
    fields = readonly_fields = ("tenant", "role", "created_at")
    related = ("tenant",)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, OperatorAdmin):  # type: ignore[misc, type-arg]  # not subscriptable at run time
    """Only a superuser says who is staff and what staff may do; others could make themselves anything."""

    add_form = NewUserForm
    ordering = ("email",)
    list_display = ("email", "full_name", "show_rights", "show_active", "date_joined", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_fields = ("email", "full_name", "ref")
    readonly_fields = ("ref", "email", "last_login", "date_joined")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": (("email", "full_name"), ("ref", "is_active"))}),
        (_("Rights"), {"fields": (("is_staff", "is_superuser"), "user_permissions")}),
        (_("Times"), {"fields": (("last_login", "date_joined"),)}),
    )
    inlines = (MembershipInline,)
    add_fieldsets = ((None, {"fields": ("email", "full_name", "password1", "password2", "is_staff")}),)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if isinstance(obj, User) and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return () if request.user.is_superuser else ("is_staff",)
        fixed = super().get_readonly_fields(request, obj)
        return fixed if request.user.is_superuser else (*fixed, "is_staff", "is_superuser", "user_permissions")

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.inlines if obj is not None else ()

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Of all of Django's permissions those that mean something here: to add and to change."""
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None and db_field.name == "user_permissions":
            shown = Q()
            for model, page in list[Any](admin.site._registry.items()):  # noqa: SLF001 - the admin has no public list of its models
                meta = model._meta  # noqa: SLF001 - Django's documented model API
                edited = not isinstance(page, ReadOnlyAdmin)
                names = [f"add_{meta.model_name}"] if edited else []
                names += [f"change_{meta.model_name}"] if edited or page.actions_detail else []
                shown |= Q(content_type__app_label=meta.app_label, codename__in=names)
            field.queryset = field.queryset.filter(shown)
            field.label_from_instance = _what_it_allows
            field.widget = UnfoldAdminCheckboxSelectMultipleWidget(choices=field.choices)
            field.help_text = _("Everybody on the staff may look at everything. Tick what more this person may do.")
        return field

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002 - Django's signature
        """Nobody sets another's password: they ask for a new one by mail."""
        raise PermissionDenied

    @shown(description=_("rights"), label={"superuser": "danger", "staff": "info"})
    def show_rights(self, user: User) -> tuple[str, Any] | None:
        if user.is_superuser:
            return "superuser", _("superuser")
        return ("staff", _("staff")) if user.is_staff else None

    @shown(description=_("log-in"), label={"locked": "danger"})
    def show_active(self, user: User) -> tuple[str, Any] | None:
        return None if user.is_active else ("locked", _("locked out"))


def _what_it_allows(permission: Permission) -> str:
    model = permission.content_type.model_class()
    name = model._meta.verbose_name_plural if model is not None else permission.content_type.name  # noqa: SLF001 - Django's documented model API
    what = _("add") if permission.codename.startswith("add_") else _("edit, and act on")
    return f"{str(name).capitalize()}: {what}"


@admin.register(EmailAddress)
class EmailAddressAdmin(ReadOnlyAdmin):
    list_display = ("email", "user", "verified", "primary")
    list_filter = ("verified",)
    search_fields = ("email",)
    list_select_related = ("user",)


@admin.register(Authenticator)
class AuthenticatorAdmin(ReadOnlyAdmin):
    """That there is a second factor and when it was used; never what it is made of."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    search_fields = ("user__email",)
    list_select_related = ("user",)
    exclude = ("data",)
