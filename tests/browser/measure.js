// Runs before a page's own scripts: how much of the page has jumped, and what was blocked.
window.__shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    const nodes = entry.sources.map(({ node }) => node?.nodeType === 1 ? node.outerHTML.slice(0, 120) : node?.nodeName);
    window.__shifts.push({ value: entry.value, nodes });
  }
}).observe({ type: "layout-shift", buffered: true });
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`blocked by the security policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
