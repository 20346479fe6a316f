"""The admin pages by name, for everything that goes through all of them."""

PAGES = {
    "overview": "/",
}
