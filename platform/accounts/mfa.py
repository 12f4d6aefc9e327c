"""Second factors: their secrets are sealed by the vault, in a column that key rotation knows."""

from typing import Any

from allauth.mfa.adapter import DefaultMFAAdapter

from accounts.models import MFA_SECRET, MfaSecret
from common import vault


class MfaAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth has no types
    def encrypt(self, text: str) -> str:
        """Seal and keep the secret; what allauth stores in its place is a reference."""
        return MfaSecret.objects.create(sealed=vault.seal(text, context=MFA_SECRET)).ref

    def decrypt(self, encrypted_text: str) -> str:
        """Raises MfaSecret.DoesNotExist for a reference that was never given out, VaultError for a lost key."""
        sealed = MfaSecret.objects.values_list("sealed", flat=True).get(ref=encrypted_text)
        return vault.unseal(bytes(sealed), context=MFA_SECRET).decode()


def forget_secrets(*, authenticator: Any, **_kwargs: Any) -> None:
    """A factor was removed: so is its secret. ``authenticator`` is allauth's row, as it was."""
    refs = [value for value in authenticator.data.values() if isinstance(value, str)]
    MfaSecret.objects.filter(ref__in=refs).delete()
