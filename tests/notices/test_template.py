"""Body templates: what they give, and what is refused when they are saved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.health import HealthChange, HealthStatus, ToldIssue
from crossdock.notices.payload import About, mock_digest, mock_payload, mock_recovery, payload_of
from crossdock.notices.template import OUTPUT_BYTES, TemplateFailed, TemplateRefused, compile_template

NOW = 1_790_000_000_000_000
WHOLE = """{
  "event_type": "{{event_type}}",
  "event_time": "{{event_time}}",
  "data": {
    "id": "{{data.id}}",
    "name": "{{data.name}}",
    "type": "{{data.type}}",
    "status": "{{data.status}}",
    "issues": [
      {
        "status": "{{data.issues.status}}",
        "message": "{{data.issues.message}}"
      }
    ]
  }
}"""


ENDLESS = "{% for a in data.url | list %}{% for b in data.url | list %}{% for c in data.url | list %}{{ c }}"
ENDLESS += "{% endfor %}{% endfor %}{% endfor %}"


def rendered(text: str, payload: Any = None, **secrets: str) -> Any:
    template = compile_template(text, secrets.keys())
    return json.loads(template.render(payload or mock_payload(NOW), secrets))


def refusal(text: str, *secret_names: str) -> str:
    with pytest.raises(TemplateRefused) as refused:
        compile_template(text, secret_names)
    return str(refused.value)


def test_a_list_with_one_element_gives_one_for_each_issue() -> None:
    payload = mock_payload(NOW)

    body = rendered(WHOLE, payload)

    assert len(body["data"]["issues"]) == 2
    assert body["data"]["issues"] == payload["data"]["issues"]
    assert body["data"].items() <= payload["data"].items()
    assert body["event_time"] == payload["event_time"]


def test_no_issues_give_an_empty_list() -> None:
    assert rendered(WHOLE, mock_recovery(NOW))["data"]["issues"] == []


def test_the_innermost_list_goes_through_the_deepest_list() -> None:
    digest = mock_digest(NOW)

    body = rendered('[{"name": "{{changes.name}}", "wrong": [{"m": "{{ changes.issues.message }}"}]}]', digest)

    assert [change["name"] for change in body] == [change["name"] for change in digest["changes"]]
    assert [[one["m"] for one in change["wrong"]] for change in body] == [
        [issue["message"] for issue in change["issues"]] for change in digest["changes"]
    ]


def test_a_list_around_a_list_of_issues_stays_one() -> None:
    body = rendered('{"cards": [{"title": "{{ data.name }}", "facts": [{"title": "{{ data.issues.status }}"}]}]}')

    assert body == {"cards": [{"title": "Test of this webhook", "facts": [{"title": "error"}, {"title": "warning"}]}]}


def test_a_value_that_stands_for_the_item_is_seen_beside_those_of_the_payload() -> None:
    assert rendered('["{{ data.name }}: {{ data.issues.status }}"]') == [
        "Test of this webhook: error",
        "Test of this webhook: warning",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"count": {{ data.issues | length }}}', {"count": 2}),
        ('{"count": "{{ data.issues | length }}"}', {"count": 2}),
        ('{"text": "{{ data.issues | length }} issues"}', {"text": "2 issues"}),
        ('{{ {"a": {"b": data.status}} }}', {"a": {"b": "error"}}),
        ('[1, null, true, 1.5, "{{ data.status }}"]', [1, None, True, 1.5, "error"]),
        ('"{% if data.issues %}broken{% else %}fine{% endif %}"', "broken"),
        ('{"braces": "{{ \'{{\' }}"}', {"braces": "{{"}),
        ('{"all": {{ data.issues }}}', {"all": mock_payload(NOW)["data"]["issues"]}),
    ],
)
def test_expressions_give_native_values(text: str, expected: Any) -> None:
    assert rendered(text) == expected


def test_a_secret_goes_out_where_it_stands() -> None:
    assert rendered('{"routing_key": "{{ secrets.routing_key }}"}', routing_key='k"ey') == {"routing_key": 'k"ey'}


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ('{"a": "{{ data.nam }}"}', "a", "did you mean data.name?"),
        ('{"a": {"b": ["{{ dat.name }}", 1]}}', "a.b[0]", "did you mean data?"),
        ('{"a": "{{ data.url.host }}"}', "a", "data.url is a plain value"),
        ('{"a": "{{ body.x }}"}', "a", "a template has event_type"),
        ('{"a": "{{ data.issues.status }}"}', "a", "map(attribute='status')"),
        ('["x", "{{ data.issues.status }}"]', "[1]", "as its only element"),
        ('[{"a": "{{ data.issues.status }} {{ changes.name }}"}]', "the template", "give each a list of its own"),
        ('{"a": "{{ data.issues[0].message }}"}', "a", "if data.issues else ''"),
        ('{"a": "{% for one in data.issues %}{{ one.text }}{% endfor %}"}', "a", "there is no one.text"),
        ('{"a": "{% for one in changes %}{{ one.issues.status }}{% endfor %}"}', "a", "one.issues is a list"),
        ('{"a": "{% for data in changes %}{{ data.name }}{% endfor %}"}', "a", "a name of the payload"),
        ('{"a": "{{ data.name | shout }}"}', "a", "there is no filter 'shout'"),
        ('{"a": "{{ data.name"}', "a", "has no }}"),
        ('{"{{ data.name }}": 1}', "the template", "keys are fixed text"),
        ('{"a": 1, "a": 2}', "the template", "the key 'a' twice"),
        ('{"a": 1,}', "line 1, column 9", "a comma too many"),
        ('{\n"a": "{{ data.status == "error" }}"}', "line 2, column 26", "texts in single quotes"),
        ('{"a": {{ data.name }}, "b" 1}', "line 1, column 28", "this is not JSON"),
        ('{"a": {{ data.name }', "line 1, column 7", "closes nothing"),
        ('{"a": {% if data %}1{% endif %}}', "line 1, column 7", "belong inside a string"),
        ('{"a": "two\nlines"}', "line 1, column 11", "write \\n"),
        ("<xml/>", "line 1, column 1", "a value is missing"),
        ("   ", "the template", "is empty"),
        ('{"a": 1e999}', "the template", "too large"),
        ('{"a": -Infinity}', "the template", "is no JSON"),
        ('{"a": ' + "9" * 5_000 + "}", "the template", "too many digits"),
        ('{"a": "\\ud83d"}', "a", "half a surrogate pair"),
        ("[" * 100 + "1" + "]" * 100, "[0]" * 65, "nested more than 64 deep"),
        ("[" * 30_000 + "]" * 30_000, "the template", "nested too deep"),
        ('"' + "x" * 70_000 + '"', "the template", "longer than 64 KiB"),
        ('{"a": "{{ range(9) | join }}"}', "a", "range(...) is not there"),
        (f'["{ENDLESS}"]', "[0]", "takes too long"),
        ('{"a": "' + "{{ 'x' | pad(9999) }}" * 120 + '"}', "the template", "more than 1 MiB"),
    ],
)
def test_what_could_not_be_sent_is_refused_with_its_place(text: str, place: str, reason: str) -> None:
    told = refusal(text)

    assert told.startswith(f"{place}: ")
    assert reason in told


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("{{ secrets.routing_kye }}", "did you mean secrets.routing_key?"),
        ("{{ secrets.other }}", "there are app_key, routing_key"),
        ("{{ secrets }}", "a secret stands alone"),
        ("{{ secrets.routing_key | upper }}", "a secret stands alone"),
        ("{{ secrets[data.name] }}", "a secret stands alone"),
        ("{% for one in secrets %}{{ one }}{% endfor %}", "a secret stands alone"),
    ],
)
def test_only_secrets_that_exist_can_be_used_and_only_as_they_are(expression: str, reason: str) -> None:
    assert reason in refusal(json.dumps({"key": expression}), "routing_key", "app_key")


def test_a_secret_of_a_webhook_without_secrets_is_refused() -> None:
    assert "add it to the webhook's secrets" in refusal('{"key": "{{ secrets.routing_key }}"}')


ANY_TEXT = st.text(st.characters(codec=None), max_size=200) | st.sampled_from(
    ['"', "\\", "\n", "{{ data.id }}", "{% if %}", "\u2028\u2029", "😀", "\ud83d", "\ude00\ud83d", "\x00", "</script>"]
)


@given(name=ANY_TEXT, message=ANY_TEXT, secret=ANY_TEXT)
def test_whatever_a_value_contains_the_body_is_json(name: str, message: str, secret: str) -> None:
    change = HealthChange(
        "hch_1", "int_1", NOW, HealthStatus.ERROR, HealthStatus.ACTIVE, (ToldIssue(HealthStatus.ERROR, message),)
    )
    payload = payload_of([change], lambda _: About("x", "webhook-trigger", "https://c.example"))
    payload["data"]["name"] = name
    payload["data"]["issues"][0]["message"] = message

    body = WHOLE_AND_TEXT.render(payload, {"key": secret}).decode()

    read = json.loads(body)
    assert read["text"].startswith(as_characters(name) + ": ")
    assert read["issues"] == [{"message": as_characters(message), "key": as_characters(secret)}]


WHOLE_AND_TEXT = compile_template(
    "{\"text\": \"{{ data.name }}: {{ data.issues | map(attribute='message') | join(', ') }}\","
    ' "issues": [{"message": {{ data.issues.message }}, "key": "{{ secrets.key }}"}]}',
    ("key",),
)


def as_characters(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def test_a_body_that_would_be_too_large_is_not_rendered() -> None:
    payload = mock_payload(NOW)
    payload["data"]["issues"] = [{"status": "error", "message": "x" * 2_000}] * 600

    with pytest.raises(TemplateFailed, match="more than 1 MiB"):
        compile_template(WHOLE).render(payload, {})


def test_a_body_just_below_the_limit_is_rendered() -> None:
    payload = mock_payload(NOW) | {"event_time": "x" * (OUTPUT_BYTES - 10)}

    body = compile_template('["{{ event_time }}"]').render(payload, {})

    assert len(body) == OUTPUT_BYTES - 6


def test_what_is_missing_when_it_is_rendered_is_told_with_its_place() -> None:
    payload = mock_payload(NOW)
    del payload["data"]["name"]

    with pytest.raises(TemplateFailed, match=r"data\.name: data\.name is not there"):
        compile_template(WHOLE).render(payload, {})
