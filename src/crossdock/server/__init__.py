"""The web server: the guarded HTTP protocol, the root application, and errors as HTTP answers."""
