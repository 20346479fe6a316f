"""Counts the noise of each route that one worker learns within an hour.

Pure: times come in with the noise. Each hour starts empty. Whenever the figures of an hour have grown, all of
them are returned. They are dropped when the hour is over.
"""

from __future__ import annotations

from overgrow.evidence import NoiseLearned
from overgrow.shadow.findings.noise import Noise

HOUR_S = 3600


class NoiseCounter:
    """Adds up noise by route and hour."""

    def __init__(self) -> None:
        self._noise: dict[tuple[str, int], Noise] = {}
        self._latest: dict[tuple[str, int], float] = {}  # what has grown since pop_changed_noise

    def add(self, route: str, at: float, noise: Noise) -> None:
        """Add the noise of one pair."""
        key = (route, int(at // HOUR_S))
        self._noise[key] = self._noise.get(key, Noise.none) + noise
        self._latest[key] = at

    def pop_changed_noise(self) -> list[NoiseLearned]:
        """Return the figures that have grown since the last call."""
        found = [
            NoiseLearned(key[0], at, self._noise[key].as_json()) for key, at in self._latest.items()
        ]
        self._latest.clear()
        newest = max((hour for _, hour in self._noise), default=0)
        self._noise = {key: noise for key, noise in self._noise.items() if key[1] == newest}
        return found
