"""What people and programs may do: rights, checks and the use cases behind API, command line and web workspace.

Every method takes the actor first, asks for the role it needs and stays inside the actor's workspace; what is in
another one does not exist for it. Documents in and out are plain JSON; errors are those of `model.errors`.
"""
