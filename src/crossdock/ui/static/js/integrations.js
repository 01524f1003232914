// The list of integrations: choosing several, narrowing the catalog while typing, and news that wait while somebody chooses.
const chosen = () => document.querySelectorAll('#list input[name="ids"]:checked');
const boxes = () => document.querySelectorAll('#list input[name="ids"]');

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-all]")) for (const box of boxes()) box.checked = event.target.checked;
  if (event.target.closest("#list")) tell();
});
document.addEventListener("htmx:after:swap", tell);
// a list that moves under somebody who chooses would have the wrong ones chosen
document.addEventListener("htmx:before:request", (event) => {
  if (event.target.id === "list" && chosen().length) event.preventDefault();
});
addEventListener("pageshow", tell);
document.addEventListener("input", narrow);

function tell() {
  const bulk = document.querySelector("[data-bulk]");
  if (!bulk) return;
  const count = chosen().length;
  bulk.dataset.count = count;
  const all = bulk.querySelector("[data-all]");
  all.checked = count > 0 && count === boxes().length;
  all.indeterminate = count > 0 && !all.checked;
  bulk.querySelector("[data-chosen]").textContent = count ? `${count} chosen` : "Choose all";
  for (const button of bulk.querySelectorAll("button")) button.disabled = !count;
}

function narrow(event) {
  const list = document.getElementById(event.target.dataset?.narrows ?? "");
  if (!list) return;
  const wanted = event.target.value.toLowerCase().split(/\s+/);
  let found = 0;
  for (const item of list.children) {
    const text = item.textContent.toLowerCase();
    item.hidden = !wanted.every((word) => text.includes(word));
    if (!item.hidden) found += 1;
  }
  list.parentElement.querySelector("[data-none]").hidden = found > 0;
}

tell();
