"""Rearguard controller: decides whether a release is to blame, and puts the last trusted version back."""
