"""Versions, drafts and rollbacks over the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api


def steps(*ids: str) -> Any:
    return {"steps": [{"id": one, "transform": {}} for one in ids]}


@pytest.fixture
async def workflow(api: Api) -> str:
    """The address of the workflow of an integration that has one version."""
    made = await api.make(workflow=steps("a"))
    return f"/api/v1/integrations/{made['id']}/workflow"


async def test_a_draft_goes_from_broken_to_published(api: Api, workflow: str) -> None:
    broken = await api.call("PUT", f"{workflow}/draft", {"document": {"steps": [{}]}})
    assert (broken.status, [problem["field"] for problem in broken.json["problems"]]) == (200, ["workflow.steps[0].id"])

    refused = await api.call("POST", f"{workflow}/draft/publish")
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "workflow.steps[0].id")

    change = {"document": steps("a", "b"), "revision": broken.json["revision"]}
    saved = await api.call("PUT", f"{workflow}/draft", change)
    assert (await api.call("GET", f"{workflow}/draft", who="charlie")).json == saved.json

    published = await api.call("POST", f"{workflow}/draft/publish", {"revision": saved.json["revision"]})
    assert (published.status, published.json["number"], published.json["document"]) == (200, 2, steps("a", "b"))
    assert (await api.call("GET", f"{workflow}/draft")).status == 404


async def test_a_draft_that_others_overtook_is_refused_until_it_is_forced(api: Api, workflow: str) -> None:
    await api.call("PUT", f"{workflow}/draft", {"document": steps("b")})
    await api.call("PUT", workflow, steps("c"))

    assert (await api.call("POST", f"{workflow}/draft/publish")).status == 409
    assert (await api.call("POST", f"{workflow}/draft/publish", {"force": True})).json["number"] == 3


async def test_a_stale_revision_is_a_conflict(api: Api, workflow: str) -> None:
    saved = (await api.call("PUT", f"{workflow}/draft", {"document": steps("b"), "revision": 0})).json
    stale = saved["revision"] - 1

    answers = [
        await api.call("PUT", f"{workflow}/draft", {"document": steps("c"), "revision": stale}),
        await api.call("POST", f"{workflow}/draft/publish", {"revision": stale}),
        await api.call("DELETE", f"{workflow}/draft?revision={stale}"),
    ]

    assert [answer.status for answer in answers] == [409, 409, 409]
    assert (await api.call("DELETE", f"{workflow}/draft?revision={saved['revision']}")).status == 204


async def test_a_rollback_is_one_call(api: Api, workflow: str) -> None:
    await api.call("PUT", workflow, steps("b"))

    back = await api.call("POST", f"{workflow}/rollback")

    assert (back.status, back.json["number"], back.json["published"]) == (200, 1, True)
    history = (await api.call("GET", f"{workflow}/publications", who="charlie")).json["items"]
    assert [(one["number"], one["rolled_back"]) for one in history] == [(1, True), (2, False), (1, False)]
    assert (await api.call("POST", f"{workflow}/rollback")).status == 409


async def test_differences_are_told_from_the_published_version_to_the_draft(api: Api, workflow: str) -> None:
    await api.call("PUT", f"{workflow}/draft", {"document": steps("a", "b")})

    found = (await api.call("GET", f"{workflow}/differences", who="charlie")).json

    assert (found["from"], found["to"], found["same"]) == ("version 1", "draft", False)
    assert [(one["change"], one["path"]) for one in found["steps"]] == [("added", "b")]
    assert "+  - id: b\n" in found["text"]
    assert (await api.call("GET", f"{workflow}/differences?from=1&to=1")).json["same"] is True


@pytest.mark.parametrize(
    ("method", "path", "document", "field"),
    [
        ("PUT", "/draft", {}, "document"),
        ("PUT", "/draft", {"document": []}, "document"),
        ("PUT", "/draft", {"document": {}, "based_on": 9}, "based_on"),
        ("PUT", "/draft", {"document": {}, "revision": "1"}, "revision"),
        ("POST", "/draft/publish", {"forced": True}, "forced"),
        ("GET", "/differences?from=first", None, "from"),
        ("GET", "/differences?to=1.5", None, "to"),
    ],
)
async def test_what_is_wrong_is_named(
    api: Api, workflow: str, method: str, path: str, document: Any, field: str
) -> None:
    answer = await api.call(method, workflow + path, document)

    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (422, [field])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/draft"), ("DELETE", "/draft"), ("POST", "/draft/publish"), ("POST", "/rollback"),
        ("POST", "/versions/1/publish"),
    ],
)  # fmt: skip
async def test_operators_and_viewers_only_look(api: Api, workflow: str, method: str, path: str) -> None:
    document = {"document": steps("b")} if method == "PUT" else None

    for who in ("bob", "charlie"):
        assert (await api.call(method, workflow + path, document, who=who)).status == 403
    assert (await api.call(method, workflow + path, document, who="dora")).status == 404
