"""Where the card processor brings its news."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing import services
from billing.gateway import gateway_from_settings
from common.errors import DomainError

MAX_BODY = 256 * 1024


@csrf_exempt  # signed by its sender; there is no browser and no session
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """204 for every event that is genuine, new or not; the work is done by a worker."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BODY:
        return HttpResponse(status=413)
    gateway = gateway_from_settings()
    try:
        facts = gateway.read_webhook(body=request.body, signature=request.headers.get("Stripe-Signature", ""))
        services.receive_webhook(gateway_name=gateway.name, facts=facts)
    except DomainError as error:
        return HttpResponse(error.message, status=error.status, content_type="text/plain; charset=utf-8")
    return HttpResponse(status=204)
