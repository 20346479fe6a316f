"""Make the site's data: tables, three products, two orders, and a clerk who may use the admin."""

import os
from datetime import UTC, datetime

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.story.foreign_shop.settings")

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402  needs django.setup()
from django.core.management import call_command  # noqa: E402  needs django.setup()

from tests.story.foreign_shop.models import Order, Product  # noqa: E402  needs django.setup()

call_command("migrate", run_syncdb=True, verbosity=0)
User.objects.create_superuser("ada", password="engine")
for at, name in enumerate(("Lamp", "Desk", "Chair"), 1):
    made = Product.objects.create(name=name, sku=name.lower(), price=f"{at}9.50")
    if at < 3:
        placed_at = datetime(2026, 11, at, 9, 30, tzinfo=UTC)
        Order.objects.create(product=made, amount=at, placed_at=placed_at)
