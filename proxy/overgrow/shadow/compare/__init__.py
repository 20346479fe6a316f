"""Compares two responses, part by part."""
