"""What the site adds to every answer: an id of the request, and a policy with a nonce."""

import secrets
import uuid


def with_policy(get_response):
    """Give each request an id and a nonce, and each page the policy that names it."""

    def respond(request):
        request.nonce, request.uuid = secrets.token_urlsafe(16), str(uuid.uuid4())
        response = get_response(request)
        response["X-Request-Id"] = request.uuid
        if response["Content-Type"].startswith("text/html"):
            response["Content-Security-Policy"] = (
                f"default-src 'self'; script-src 'self' 'nonce-{request.nonce}'; object-src 'none'"
            )
        return response

    return respond
