/**
 * Copies and bundles the libraries of the pages: `node build.mjs PAGES TESTS`, in a folder where `npm ci` ran.
 * PAGES is src/crossdock/ui/static/vendor, TESTS is tests/browser/axe; both are written anew, with licences and checksums.
 */

import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const [pages, tests] = process.argv.slice(2);
const licences = new Map();

begin(pages);
copy("htmx.org/dist/htmx.min.js", pages, "htmx.js");
copy("htmx.org/dist/ext/hx-sse.min.js", pages, "hx-sse.js");
copy("uplot/dist/uPlot.min.css", pages, "uplot.css");
await bundle("node_modules/uplot/dist/uPlot.esm.js", "uplot.js");
await bundle("editor.js", "codemirror.js");
writeLicences(pages);
writeSums(pages);

begin(tests);
copy("axe-core/axe.min.js", tests, "axe.min.js");
copy("axe-core/LICENSE", tests, "LICENSE");
copy("axe-core/LICENSE-3RD-PARTY.txt", tests, "LICENSE-3RD-PARTY.txt");
writeSums(tests);

function begin(folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
}

function copy(path, folder, name) {
  cpSync(join("node_modules", path), join(folder, name));
  takeLicence(path.split("/")[0]);
}

async function bundle(entry, name) {
  const made = await build({
    entryPoints: [entry], outfile: join(pages, name), bundle: true, minify: true, format: "esm", target: "es2022",
    charset: "utf8", legalComments: "none", metafile: true, logLevel: "warning",
  });
  for (const path of Object.keys(made.metafile.inputs)) {
    const found = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path);
    if (found) takeLicence(found[1]);
  }
}

function takeLicence(name) {
  const folder = join("node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
  if (!file) throw new Error(`${name} brings no licence`);
  licences.set(`${name} ${version} (${license})`, readFileSync(join(folder, file), "utf8").trim());
}

function writeLicences(folder) {
  const parts = [...licences].sort().map(([title, text]) => `${title}\n${"=".repeat(title.length)}\n\n${text}\n`);
  writeFileSync(join(folder, "LICENSES.txt"), parts.join("\n\n").replaceAll("\r\n", "\n"));
}

function writeSums(folder) {
  const lines = readdirSync(folder).sort()
    .map((name) => `${createHash("sha256").update(readFileSync(join(folder, name))).digest("hex")}  ${name}\n`);
  writeFileSync(join(folder, "SHA256SUMS"), lines.join(""));
}
