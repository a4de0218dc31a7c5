"""Databases on disk."""
