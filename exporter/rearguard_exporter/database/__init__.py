"""Databases as an application sees them: operations, pools, and whether they answer."""
