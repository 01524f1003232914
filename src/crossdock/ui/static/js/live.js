// News from the server (server-sent events): each becomes an event of the document that parts of a page wait for, for
// example hx-trigger="news from:document throttle:2s". Only while the page is looked at, and until somebody pauses it.
let source = null;
let paused = false;

export function listen() {
  const place = document.querySelector("[data-live]");
  if (!place) return;
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start(place)));
  addEventListener("pagehide", stop);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-live-pause]");
    if (button) pause(button, place);
  });
  start(place);
}

function start(place) {
  if (source || paused || document.hidden) return;
  source = new EventSource(place.dataset.live);
  source.addEventListener("news", (event) => tell(JSON.parse(event.data)));
  source.addEventListener("open", () => mark("live"));
  source.addEventListener("error", () => mark("waiting"));
}

function stop() {
  source?.close();
  source = null;
}

function tell(news) {
  if (paused || document.querySelector("dialog[open]")) return;
  document.dispatchEvent(new CustomEvent("news", { detail: news }));
}

function pause(button, place) {
  paused = !paused;
  button.setAttribute("aria-pressed", String(paused));
  if (paused) {
    stop();
    mark("paused");
  } else {
    start(place);
    document.dispatchEvent(new CustomEvent("news", { detail: {} }));
  }
}

function mark(state) {
  for (const each of document.querySelectorAll("[data-live-state]")) each.dataset.liveState = state;
}
