"""The admin of products and orders."""

from django.contrib import admin

from tests.story.foreign_shop.models import Order, Product


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    """Products by name and price."""

    list_display = ("name", "sku", "price")
    search_fields = ("name",)


admin.site.register(Order)
