"""What an order must look like. Pure: values in, the list of problems out."""

from __future__ import annotations

from collections.abc import Container


def problems_of(asked: object, catalogue: Container[int]) -> list[str]:
    """Return every problem of an order, in the order of its fields; none when it is in order."""
    if not isinstance(asked, dict):
        return ["the body must be a JSON object"]
    problems = []
    if not is_name(asked.get("customer")):
        problems.append("customer must be a text of 1 to 80 printable characters")
    items = asked.get("items")
    if not isinstance(items, list) or not 1 <= len(items) <= 50:
        return [*problems, "items must be a list of 1 to 50 lines"]
    for place, line in enumerate(items):
        problems += [f"items[{place}]{text}" for text in line_problems(line, catalogue)]
    return problems


def is_name(value: object) -> bool:
    """Whether a value can stand as a customer's name; a lone surrogate is not printable."""
    return isinstance(value, str) and value.isprintable() and 1 <= len(value.strip()) <= 80


def line_problems(line: object, catalogue: Container[int]) -> list[str]:
    """Return the problems of one line; True and 2.0 are no numbers here."""
    if not isinstance(line, dict):
        return [" must be an object"]
    problems = []
    product, quantity = line.get("product"), line.get("quantity")
    if type(product) is not int or product not in catalogue:
        problems.append(".product must be the number of a product")
    if type(quantity) is not int or not 1 <= quantity <= 99:
        problems.append(".quantity must be a number from 1 to 99")
    return problems
