"""Products and orders."""

from django.db import models


class Product(models.Model):
    """Something on sale."""

    name = models.CharField(max_length=80)
    sku = models.SlugField(unique=True)
    price = models.DecimalField(max_digits=8, decimal_places=2)

    def __str__(self):
        return self.name


class Order(models.Model):
    """Something that was sold."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE)
    amount = models.PositiveIntegerField()
    placed_at = models.DateTimeField()

    def __str__(self):
        return f"{self.amount} of {self.product}"

    @property
    def total(self):
        """What it costs."""
        return self.amount * self.product.price
