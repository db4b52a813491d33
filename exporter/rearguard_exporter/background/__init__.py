"""Threads and event-loop tasks that run beside the application."""
