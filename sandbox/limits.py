"""The sandbox's latency, sampled per answer, and its rate limit."""

import math
import random
import time

# The 99th percentile of a standard normal distribution: p99 = p50 · e^(sigma · Z99).
Z99 = 2.3263


class Latency:
    """Log-normal answer times, given by their median and their 99th percentile."""

    def __init__(self, p50_ms: float = 0, p99_ms: float = 0) -> None:
        self.p50_ms = p50_ms
        self.p99_ms = max(p50_ms, p99_ms)
        self._sigma = math.log(self.p99_ms / p50_ms) / Z99 if p50_ms else 0.0
        self._random = random.Random()  # noqa: S311  a dice

    def sample_s(self) -> float:
        """Seconds that the next answer takes."""
        if not self.p50_ms:
            return 0.0
        return self._random.lognormvariate(math.log(self.p50_ms / 1000), self._sigma)


class RateLimit:
    """One token bucket per endpoint, as Stripe counts; a bucket holds one second's worth. None means no limit."""

    def __init__(self, rps: float | None = None) -> None:
        self.rps = rps
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, endpoint: str) -> bool:
        """Whether this request may pass now."""
        if self.rps is None:
            return True
        now = time.monotonic()
        burst = max(1.0, self.rps)
        tokens, at = self._buckets.get(endpoint, (burst, now))
        tokens = min(burst, tokens + (now - at) * self.rps)
        passes = tokens >= 1
        self._buckets[endpoint] = (tokens - passes, now)
        return passes
