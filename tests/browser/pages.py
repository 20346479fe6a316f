"""The admin pages by name, for everything that goes through all of them."""

PAGES = {
    "overview": "/",
    "differences": "/differences",
    "unrouted": "/unrouted",
    "live": "/live",
    "flips": "/flips",
    "health": "/health",
}
