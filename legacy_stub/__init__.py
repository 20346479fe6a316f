"""Hedgerow Supply: a small legacy shop on the standard library alone.

It stands for the application a team wants to move away from, and it is the oracle of the tests:
it shares no code with the front door or with the moved features.
"""
