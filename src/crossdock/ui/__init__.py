"""The web workspace: pages made on the server that work without scripts.

A page is one handler and one template. Everything goes through the use cases of `manage`, as in the API.
"""

from crossdock.ui.pages import Pages
from crossdock.ui.sign_in import first_sign_in_path

__all__ = ["Pages", "first_sign_in_path"]
