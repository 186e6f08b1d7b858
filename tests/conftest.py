"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# a run fails for what changed, not for its luck; to look further: pytest --hypothesis-profile=explore
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile("same")
