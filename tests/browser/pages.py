"""Every page that there is, one line each: the tests of all pages go through this table.

Whoever builds a screen adds a line. `path` may name what is seeded (`seeds.py`): an integration by its name
(`{shop_orders}`), `{webhook_on_call}`, `{connection_erp}`, an event by its kind (`{event_failed}`).
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.browser.site import Site


@dataclass(frozen=True, slots=True)
class Shown:
    """A page. `name` is that of its pictures; `user` is who looks at it, None: nobody is signed in."""

    name: str
    path: str
    user: str | None = "alice"

    def path_on(self, site: Site) -> str:
        """Its path with the ids of what is seeded."""
        seeded = site.seeded
        kinds = {"": seeded.integrations, "webhook_": seeded.webhooks, "connection_": seeded.connections}
        kinds["event_"] = seeded.events
        ids = {f"{kind}{_word(name)}": each for kind, named in kinds.items() for name, each in named.items()}
        return self.path.format(**ids)


def _word(name: str) -> str:
    return name.lower().replace(" ", "_")


PAGES = [
    Shown("sign-in", "/sign-in", user=None),
    Shown("home", "/"),
    Shown("overview", "/w/default"),
    Shown("integrations", "/w/default/integrations"),
    Shown("external-systems", "/w/default/integrations?panel=external-systems"),
    Shown("integration-new", "/w/default/integrations/new?type=webhook-trigger"),
    Shown("integration-new-async", "/w/default/integrations/new?type=event-webhook-async"),
    Shown("overview-empty", "/w/logistics", user="charlie"),
    Shown("integrations-empty", "/w/logistics/integrations", user="charlie"),
    Shown("integration-settings", "/w/default/integrations/{item_prices}/settings"),
    Shown("workflow", "/w/default/integrations/{shop_orders}/workflow"),
    Shown("workflow-empty", "/w/default/integrations/{parcel_tracking}/workflow"),
    Shown("workflow-palette", "/w/default/integrations/{shop_orders}/workflow?into=steps&position=1"),
    Shown("workflow-step", "/w/default/integrations/{shop_orders}/workflow?step=steps/1"),
    Shown("workflow-yaml", "/w/default/integrations/{shop_orders}/workflow/yaml"),
    Shown("workflow-test", "/w/default/integrations/{shop_orders}/workflow/test", user="bob"),
    Shown("workflow-versions", "/w/default/integrations/{item_prices}/workflow/versions"),
    Shown("workflow-differences", "/w/default/integrations/{item_prices}/workflow/differences?from=1&to=3"),
    Shown("events", "/w/default/events"),
    Shown("events-refused", "/w/default/events/refused"),
    Shown("event", "/w/default/events/{event_succeeded}"),
    Shown("event-failed", "/w/default/events/{event_failed}?status=failed"),
    Shown("event-replay", "/w/default/events/{event_failed}/replay"),
    Shown("bulk-jobs", "/w/default/bulk-jobs"),
    Shown("bulk-job-new", "/w/default/bulk-jobs/new/replay?status=failed"),
    Shown("integration", "/w/default/integrations/{shop_orders}"),
    Shown("integration-access", "/w/default/integrations/{item_prices}/access"),
    Shown("integration-code", "/w/default/integrations/{shop_orders}/code"),
    Shown("lanes", "/w/default/integrations/{stock_reservation}/lanes"),
    Shown("connections", "/w/default/connections"),
    Shown("connection", "/w/default/connections/{connection_erp}"),
    Shown("connection-new", "/w/default/connections/new?kind=sql"),
    Shown("webhooks", "/w/default/notification-webhooks"),
    Shown("webhook-choose", "/w/default/notification-webhooks/new"),
    Shown("webhook-new", "/w/default/notification-webhooks/new?template=slack"),
    Shown("webhook", "/w/default/notification-webhooks/{webhook_on_call}"),
    Shown("webhook-deliveries", "/w/default/notification-webhooks/{webhook_on_call}/deliveries"),
    Shown("settings-account", "/w/default/settings/me"),
    Shown("settings-people", "/w/default/settings/people"),
    Shown("settings-workspaces", "/w/default/settings/workspaces"),
    Shown("settings-tokens", "/w/default/settings/tokens"),
    Shown("settings-audit", "/w/default/settings/audit"),
    Shown("settings-installation", "/w/default/settings/installation"),
    Shown("settings-about", "/w/default/settings/about"),
]
