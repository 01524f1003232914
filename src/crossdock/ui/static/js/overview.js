// The chart of the overview, drawn anew when news have come.
import { drawCharts } from "./chart.js";

drawCharts();
document.addEventListener("htmx:after:swap", drawCharts);
