"""Where everything is."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import path

from tests.story.foreign_shop import views

urlpatterns = [
    path("", views.home),
    path("login/", auth.LoginView.as_view(template_name="shop/login.html", next_page="/account")),
    path("account", views.account),
    path("products", views.products),
    path("products/<int:number>", views.product),
    path("cart", views.cart),
    path("search", views.search),
    path("feedback", views.feedback),
    path("report", views.report),
    path("orders/export.csv", views.export),
    path("orders/<int:number>", views.order),
    path("orders/<int:number>/invoice", views.invoice),
    path("downloads/catalogue.bin", views.catalogue),
    path("api/products", views.api_products),
    path("api/products/<int:number>", views.api_product),
    path("api/stats", views.api_stats),
    path("api/me", views.api_me),
    path("admin/", admin.site.urls),
]
