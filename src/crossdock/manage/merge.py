"""JSON merge patch (RFC 7396), and documents laid over presets."""

from __future__ import annotations

from collections.abc import Collection

from crossdock.model.outcome import Json


def merge_patch(target: Json, patch: Json, whole: Collection[str] = (), path: str = "") -> Json:
    """`target` with `patch` merged into it: null removes, objects merge, all else replaces.

    Differs from the RFC at the paths in `whole`: what stands there is somebody's own tree (a JSON Schema, a workflow)
    in which null and missing are two things, so it is replaced and not merged.
    """
    if not isinstance(patch, dict) or path in whole:
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        inner = f"{path}.{key}" if path else str(key)
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value, whole, inner)
    return merged


def lay_over(preset: Json, document: Json) -> Json:
    """`document` with what it leaves out, or sets to null, taken from `preset`."""
    if not isinstance(preset, dict) or not isinstance(document, dict):
        return document
    laid = dict(document)
    for key, value in preset.items():
        given = document.get(key)
        laid[key] = value if given is None else lay_over(value, given)
    return laid


def differences(before: Json, after: Json, path: str = "") -> list[tuple[str, Json, Json]]:
    """Where two trees differ: path, value before, value after; None where there is nothing."""
    if isinstance(before, dict) and isinstance(after, dict):
        found: list[tuple[str, Json, Json]] = []
        for key in sorted({*before, *after}):
            found += differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
        return found
    same = before == after and type(before) is type(after)
    return [] if same else [(path, before, after)]
