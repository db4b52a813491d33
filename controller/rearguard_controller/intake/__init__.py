"""Takes stored alerts, hands them out target by target, and judges them one at a time."""
