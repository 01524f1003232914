"""The web workspace: pages made on the server that work without scripts, and better with them.

A page is one handler and one template. Everything goes through the use cases of `manage`, as in the API.
"""

from crossdock.ui.workspace import Workspace

__all__ = ["Workspace"]
