"""Adapters: each follows the requests and sockets of one framework."""
