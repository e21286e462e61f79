"""Tests in a real browser; a package, so that its conftest.py is not mistaken for that of tests/."""
