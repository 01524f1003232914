// Times in the reader's own time zone, as wide as the UTC text that the server wrote; UTC stays in the tooltip.
const two = (number) => String(number).padStart(2, "0");
const day = (at) => `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
const clock = (at) => `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;

const forms = {
  full: (at) => `${day(at)} ${clock(at)}`,
  exact: (at) => `${day(at)} ${clock(at)}.${String(at.getMilliseconds()).padStart(3, "0")}`,
  day,
  ago,
};

function ago(at) {
  const seconds = (Date.now() - at.getTime()) / 1000;
  const past = Math.abs(seconds);
  const told = past < 5 ? "now"
    : past < 60 ? `${Math.floor(past)} s`
    : past < 3600 ? `${Math.floor(past / 60)} min`
    : past < 172800 ? `${Math.floor(past / 3600)} h`
    : `${Math.floor(past / 86400)} d`;
  if (told === "now") return told;
  return seconds >= 0 ? `${told} ago` : `in ${told}`;
}

export function tellTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) tell(element);
}

function tell(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  const text = (forms[element.dataset.form] ?? forms.full)(at);
  if (element.textContent !== text) element.textContent = text;
  if (element.dataset.form === "ago" && !element.dataset.told) {
    element.title = `${forms.full(at)} (${element.title})`;
    element.dataset.told = "yes";
  }
}

setInterval(() => {
  if (document.visibilityState === "visible") for (const each of document.querySelectorAll('time[data-form="ago"]')) tell(each);
}, 5000);
