"""Asking an outside HTTP source that may have several addresses: one object, one kind of error.

Here: `asking` has requests and their limits, `identity` what a request carries, `hints` what an operator is told,
`sieve` how a long list is read without what nobody wants, `clock` how far its clock is ahead of ours.
"""

from rearguard_controller.adapters.http_source.asking import (
    Answer,
    AnswerTooLargeError,
    Asking,
    AwayError,
    Kept,
    NextAddressError,
    Source,
    quoted,
)

__all__ = ["Answer", "AnswerTooLargeError", "Asking", "AwayError", "Kept", "NextAddressError", "Source", "quoted"]
