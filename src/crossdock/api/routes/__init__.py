"""The routes, a module for each kind of thing. A route reads the request, calls one use case and answers."""
