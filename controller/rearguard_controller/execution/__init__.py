"""Carries a rollback out: intent committed, effect, result committed."""
