"""The journal in PostgreSQL, shared by several replicas."""
