"""The stand-alone exporter: `rearguard-exporter --config exporter.yaml` watches a service that cannot be changed.

Here: its command, its process and reloads, its configuration (`config`), and what it looks at (`watched`).
Never here: anything that an application imports. YAML, aiohttp and asyncpg are used in this room only.
"""
