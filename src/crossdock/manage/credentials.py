"""What a document keeps secret, by the places where it stands: kept from one save to the next, sealed as one secret.

Connections and notification webhooks have it alike. Whoever may change an address must not be able to have a secret
sent there that he can't read: a kept secret goes only to where it was entered for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from crossdock.manage.authentication import WrittenSecrets
from crossdock.manage.fields import SET
from crossdock.manage.refusals import invalid
from crossdock.manage.saving import Difference, kept_elsewhere
from crossdock.manage.secrets import seal, unseal
from crossdock.model.errors import FieldError
from crossdock.store.secrets import CREDENTIALS, SecretRow
from crossdock.vault import Vault, VaultError

Secrets = Mapping[str, str]
"""Secret values by the keys of their places."""

LEAST_HIDDEN = 3
"""Characters of a secret that is looked for in texts: a shorter one would tear holes into words."""


@dataclass(frozen=True, slots=True)
class KeptSecrets:
    """What is stored; nothing, and the `trouble`, when it can't be opened."""

    values: Secrets = field(default_factory=dict)
    trouble: str | None = None
    moved_from: str | None = None
    """Where they went so far, if the document leads somewhere else."""
    stays_here: Collection[str] = ()
    """Those that are sent nowhere: an address does not matter to them."""


def open_credentials(vault: Vault, row: SecretRow | None) -> tuple[dict[str, str], str | None]:
    """The stored secrets; nothing and the reason when they can't be opened."""
    if row is None:
        return {}, None
    try:
        secrets: dict[str, str] = json.loads(unseal(vault, row))
    except VaultError as error:  # its master key is gone: entering the secrets again is the way out
        return {}, str(error)
    return secrets, None


def seal_credentials(vault: Vault, owner_id: str, secrets: Secrets) -> SecretRow | None:
    """All of them as one sealed secret; None where there are none."""
    if not secrets:
        return None
    return seal(vault, owner_id, CREDENTIALS, json.dumps(secrets, sort_keys=True).encode())


def complete_secrets(subject: str, written: WrittenSecrets, kept: KeptSecrets) -> dict[str, str]:
    """All secrets, given and kept; Invalid names those that are missing, and those that can't be kept."""
    errors: list[FieldError] = []
    complete: dict[str, str] = {}
    moved = kept.moved_from
    for key, given in written.values.items():
        name = written.fields[key]
        if given is not None:
            complete[key] = given
        elif key in kept.values and (moved is None or key in kept.stays_here):
            complete[key] = kept.values[key]
        elif moved is not None and key in kept.values:
            errors.append(FieldError(name, kept_elsewhere(moved)))
        elif kept.trouble is not None:
            errors.append(FieldError(name, f"can't be kept: {kept.trouble}"))
        else:
            errors.append(FieldError(name, "is required; there is no value to keep"))
    if errors:
        raise invalid(subject, errors)
    return complete


def secret_differences(
    written: WrittenSecrets, kept: Secrets, complete: Secrets, told: Iterable[Difference]
) -> list[Difference]:
    """That secrets change, where nothing else tells so: never what they are."""
    fields = {one.field for one in told}
    return [
        Difference(written.fields[key], SET, SET)
        for key, value in complete.items()
        if kept.get(key) != value and written.fields[key] not in fields
    ]


def hide_secrets(secrets: Iterable[str], text: str) -> str:
    """The text with none of the secrets: what another system says may repeat what it was sent."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***") if len(secret) >= LEAST_HIDDEN else text
    return text


def unless_known(check_url: Callable[[str], None], known: Collection[str | None]) -> Callable[[str], None]:
    """The check of a URL, but for those that stay as they are: they were checked when they were saved. What has become
    since then of allowed targets must not keep anybody from changing the rest.
    """

    def check_changed(url: str) -> None:
        if url not in known:
            check_url(url)

    return check_changed
