"""Pages, forms, downloads and JSON, each with something in it that is new with every answer."""

import csv
import io
import random
import secrets
from datetime import UTC, datetime

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from tests.story.foreign_shop.models import Order, Product

LARGE = 300 * 1024  # bytes, more than is kept for a comparison


def took_ms() -> int:
    """A time that nobody can foresee."""
    return random.randrange(3, 97)


def now() -> str:
    """The time to the microsecond, so that no two answers share it."""
    return datetime.now(UTC).isoformat()


@require_GET
def home(request):
    """A page with the id of the request beside a total."""
    total = sum(each.total for each in Order.objects.select_related("product"))
    return render(request, "shop/home.html", {"total": total})


@require_GET
@login_required
def account(request):
    """A page for somebody who is logged in, with a token in a meta element."""
    return render(request, "shop/account.html", {"token": secrets.token_hex(16)})


@require_GET
def products(request):
    """A table with a column that is new each time beside one that is not."""
    rows = [(each, secrets.token_hex(8)) for each in Product.objects.order_by("id")]
    return render(request, "shop/products.html", {"rows": rows})


@require_GET
def product(request, number):
    """A form with Django's token beside an amount."""
    return render(request, "shop/product.html", {"product": get_object_or_404(Product, id=number)})


@require_GET
def cart(request):
    """A page that writes into the session, so that its cookie is set anew."""
    request.session["seen"] = now()
    return render(request, "shop/cart.html", {"count": Product.objects.count()})


@require_GET
def search(request):
    """A page that shows what was asked for."""
    asked = request.GET.get("q", "")
    found = Product.objects.filter(name__icontains=asked).order_by("id")
    return render(request, "shop/search.html", {"asked": asked, "found": found})


@require_GET
def feedback(request):
    """A form with a script that the policy allows by its nonce."""
    return render(request, "shop/feedback.html")


@require_GET
def report(request):
    """A large page."""
    lines = [f"{at}: {at * 7919 % 104729}" for at in range(LARGE // 12)]
    return render(request, "shop/report.html", {"lines": lines})


@require_GET
def order(request, number):
    """One order as text, the time of the answer in the first line."""
    found = get_object_or_404(Order.objects.select_related("product"), id=number)
    lines = [f"printed {now()}", f"order {found.id}", f"{found.amount} x {found.product.sku}"]
    return HttpResponse(
        "\n".join([*lines, f"total {found.total}", ""]), "text/plain; charset=utf-8"
    )


@require_GET
@login_required
def export(request):
    """All orders as CSV, the time of the answer in the first line."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["generated", now()])
    rows.writerow(["order", "sku", "amount", "total"])
    for each in Order.objects.select_related("product").order_by("id"):
        rows.writerow([each.id, each.product.sku, each.amount, each.total])
    return download(text.getvalue(), "orders.csv", "text/csv; charset=utf-8")


@require_GET
@login_required
def invoice(request, number):
    """A download that holds bytes, the same ones each time."""
    found = get_object_or_404(Order.objects.select_related("product"), id=number)
    drawn = random.Random(found.id).randbytes(2_000)
    return download(b"%PDF-1.7\n" + drawn, f"invoice-{number}.pdf", "application/pdf")


@require_GET
def catalogue(request):
    """A large download."""
    drawn = random.Random(7).randbytes(LARGE)
    return download(drawn, "catalogue.bin", "application/octet-stream")


def download(body, name, kind):
    """Answer with a file."""
    head = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(body, kind, headers=head)


@require_GET
def api_products(request):
    """All products, each with an etag of its own making."""
    found = [
        {"id": each.id, "sku": each.sku, "price": str(each.price), "cursor": secrets.token_hex(8)}
        for each in Product.objects.order_by("id")
    ]
    return JsonResponse({"products": found, "count": len(found)})


@require_GET
def api_product(request, number):
    """One product, and when that was said."""
    found = get_object_or_404(Product, id=number)
    return JsonResponse(
        {"id": found.id, "name": found.name, "price": str(found.price), "as_of": now()}
    )


@require_GET
def api_stats(request):
    """Rows of which one is new each time."""
    rows = [("took_ms", took_ms()), ("items", Product.objects.count())]
    return JsonResponse({"rows": [{"key": key, "value": value} for key, value in rows]})


@require_GET
@login_required
def api_me(request):
    """Who is logged in."""
    user = request.user
    return JsonResponse({"name": user.username, "staff": user.is_staff, "request": request.uuid})
