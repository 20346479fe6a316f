"""The evidence store: comparisons, fallbacks and flips. Losing it costs evidence, never traffic."""
