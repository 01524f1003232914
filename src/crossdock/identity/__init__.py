"""Signing in through an OpenID provider: the protocol, without users and without the database.

OpenID Connect Core 1.0 with the authorization code flow, PKCE (RFC 7636, S256 only), discovery, and the issuer in the
answer (RFC 9207). `provider` asks the provider, `id_token` judges what it says.
"""
