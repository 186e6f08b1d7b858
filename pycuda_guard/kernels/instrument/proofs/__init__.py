"""Proves, before a launch, that all its accesses are right: then none of them needs a check."""
