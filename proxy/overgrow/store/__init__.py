"""The evidence store: what shadowing found, what fell back, who flipped. Losing it costs evidence, never traffic."""
