"""The way out: which addresses may be called, the client that calls them, and the signatures on what it sends.

Everything that leaves Crossdock over HTTP goes through here, so that no address is reached unchecked.
"""
