// Traffic over time as a picture that can be looked into, drawn from the table behind it: [data-chart] names the table.
// Bars are stacked: each series is drawn from the ground to its sum, the highest first.
import uPlot from "../vendor/uplot.js";

const series = [["succeeded", "--good-fill"], ["under way or canceled", "--accent"], ["failed", "--bad-fill"], ["refused", "--warning-fill"]];
const plots = new Map();

export function drawCharts() {
  for (const figure of document.querySelectorAll("[data-chart]")) draw(figure);
}

function draw(figure) {
  const place = figure.querySelector(".plot");
  const table = document.getElementById(figure.dataset.chart);
  const numbers = read(table);
  let drawn = plots.get(place);
  if (!drawn) {
    drawn = begin(place, numbers);
    plots.set(place, drawn);
  }
  drawn.numbers = numbers;
  drawn.plot.setData(stacked(numbers));
}

function begin(place, numbers) {
  const drawn = { numbers, plot: null };
  const options = () => ({
    width: place.clientWidth,
    height: 210,
    padding: [8, 4, 0, 0],
    legend: { live: true },
    cursor: { y: false, points: { show: false } },
    scales: { x: { time: true, range: (plot, low, high) => [low, high + interval(plot)] }, y: { range: (plot, low, high) => [0, Math.max(high, 1)] } },
    axes: [{ ...axis(), values: (plot, times) => times.map((time) => clock(time)) }, { ...axis(), size: 46, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6] }],
    series: [{ label: "From", value: (plot, time) => (time == null ? "–" : `${day(time)} ${clock(time, true)}`) }, ...series.map(([label, colour], position) => bar(label, colour, position, drawn)).reverse()],
  });
  const make = () => {
    drawn.plot?.destroy();
    drawn.plot = new uPlot(options(), stacked(drawn.numbers), place);
  };
  make();
  new ResizeObserver(() => drawn.plot.setSize({ width: place.clientWidth, height: 210 })).observe(place);
  document.addEventListener("theme", make);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", make);
  return drawn;
}

// a bar stands to the right of its beginning: the last one needs room, too
function interval({ data: [times] }) {
  return times.length > 1 ? times[1] - times[0] : 0;
}

function bar(label, variable, position, drawn) {
  const fill = colour(variable);
  const paths = uPlot.paths.bars({ size: [0.8, 30], align: 1 });
  return { label, fill, stroke: fill, width: 0, paths, points: { show: false }, value: (plot, sum, index, at) => (at == null ? "–" : drawn.numbers[position + 1][at]) };
}

function axis() {
  const line = { stroke: colour("--line"), width: 1 };
  return { stroke: colour("--text-faint"), grid: line, ticks: line, font: "12px system-ui, sans-serif" };
}

const two = (number) => String(number).padStart(2, "0");

function day(time) {
  const at = new Date(time * 1000);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

// midnight is told as the day that begins
function clock(time, always = false) {
  const at = new Date(time * 1000);
  const isMidnight = at.getHours() === 0 && at.getMinutes() === 0;
  return isMidnight && !always ? day(time).slice(5) : `${two(at.getHours())}:${two(at.getMinutes())}`;
}

// times in seconds, then a list for each series
function read(table) {
  const rows = [...table.tBodies[0].rows];
  const column = (number) => rows.map((row) => Number(row.cells[number].textContent));
  return [rows.map((row) => Date.parse(row.querySelector("time").dateTime) / 1000), column(2), column(3), column(4), column(5)];
}

function stacked([times, ...counts]) {
  const sums = [];
  counts.forEach((list, position) => sums.push(list.map((count, at) => count + (position ? sums[position - 1][at] : 0))));
  return [times, ...sums.reverse()];
}

// a custom property may say light-dark(...): only an element that uses it knows the colour
function colour(variable) {
  const probe = document.body.appendChild(document.createElement("span"));
  probe.style.color = `var(${variable})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
