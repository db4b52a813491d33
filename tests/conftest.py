"""What all tests share: hypothesis counts examples, not milliseconds, because shared machines stall now and then."""

from hypothesis import settings

settings.register_profile("rearguard", deadline=None)
settings.load_profile("rearguard")
