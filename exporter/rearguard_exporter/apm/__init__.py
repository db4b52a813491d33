"""Error tracking and tracing by the vendors' SDKs, imported only where they are asked for.

Here: how an SDK is set up, once in a process, and what of an application it traces. The controller's notices use
`tags`, `sentry` and `datadog`, too, so that a vendor sees one service whoever tells of it.
"""
