"""Measures the real program from outside, beside a handler that does nothing on the same web server."""
