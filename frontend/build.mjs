// Builds the committed bundles; with --check it builds beside them and compares, byte for byte.
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const committed = path.resolve(here, "../platform/handrail/web/static/handrail");
const ENTRIES = { app: "src/app/index.mjs", editor: "src/editor/index.mjs", graph: "src/graph/index.mjs" };
const BANNER = "/*! Handrail, Apache-2.0. Bundled packages and their licences: LICENSES.txt */";

async function bundle(out) {
  const shared = { absWorkingDir: here, bundle: true, minify: true, charset: "utf8", legalComments: "none", write: true, metafile: true, logLevel: "warning" };
  const scripts = await build({ ...shared, entryPoints: ENTRIES, outdir: out, format: "iife", target: ["es2022"], banner: { js: BANNER } });
  await build({ ...shared, entryPoints: { app: "src/css/index.css", docs: "src/css/docs.css" }, outdir: out, banner: { css: BANNER } });
  return scripts.metafile;
}

/** The named lucide icons as one SVG of <symbol>s; `alias=icon` gives an icon a second name. */
async function sprite(out) {
  const lines = (await readFile(path.join(here, "icons.txt"), "utf8")).split("\n").filter(Boolean);
  const symbols = [];
  for (const line of [...new Set(lines)].sort()) {
    const [name, source = name] = line.split("=");
    const svg = await readFile(path.join(here, "node_modules/lucide-static/icons", `${source}.svg`), "utf8");
    const shapes = svg.slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.lastIndexOf("</svg>")).replace(/\s*\n\s*/g, "");
    symbols.push(`<symbol id="${name}" viewBox="0 0 24 24">${shapes}</symbol>`);
  }
  const text = `<!-- lucide icons, ISC licence: LICENSES.txt -->\n<svg xmlns="http://www.w3.org/2000/svg">\n${symbols.join("\n")}\n</svg>\n`;
  await writeFile(path.join(out, "icons.svg"), text);
}

/** The licence of every package that the bundles contain, as the packages themselves ship it. */
async function licences(out, metafile) {
  const names = new Set(["lucide-static"]);
  for (const input of Object.keys(metafile.inputs)) {
    const match = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match) names.add(match[1]);
  }
  const parts = ["Packages contained in the files of this folder, with their licences.\n"];
  for (const name of [...names].sort()) {
    const folder = path.join(here, "node_modules", name);
    const facts = JSON.parse(await readFile(path.join(folder, "package.json"), "utf8"));
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e(\.(md|txt))?$/i.test(entry));
    if (!file) throw new Error(`${name} ships no licence file`);
    const text = (await readFile(path.join(folder, file), "utf8")).replace(/\r\n/g, "\n").trim();
    parts.push(`${"=".repeat(80)}\n${name} ${facts.version} (${facts.license})\n${"=".repeat(80)}\n\n${text}\n`);
  }
  await writeFile(path.join(out, "LICENSES.txt"), parts.join("\n"));
}

async function checksums(out) {
  const lines = [];
  for (const name of (await readdir(out)).sort()) {
    if (name === "SHA256SUMS") continue;
    lines.push(`${createHash("sha256").update(await readFile(path.join(out, name))).digest("hex")}  ${name}\n`);
  }
  await writeFile(path.join(out, "SHA256SUMS"), lines.join(""));
}

async function buildInto(out) {
  const metafile = await bundle(out);
  await sprite(out);
  await licences(out, metafile);
  await writeFile(path.join(out, "favicon.svg"), await readFile(path.join(here, "src/favicon.svg")));
  await checksums(out);
}

async function check() {
  const fresh = await mkdtemp(path.join(tmpdir(), "handrail-bundles-"));
  try {
    await buildInto(fresh);
    const names = [...new Set([...(await readdir(fresh)), ...(await readdir(committed))])].sort();
    const differing = [];
    for (const name of names) {
      const [mine, theirs] = await Promise.all([fresh, committed].map((folder) => readFile(path.join(folder, name)).catch(() => null)));
      if (!mine || !theirs || !mine.equals(theirs)) differing.push(name);
    }
    if (differing.length) {
      console.error(`Committed bundles differ from their sources: ${differing.join(", ")}.\nRun "npm ci && npm run build" in frontend/ and commit the result.`);
      process.exitCode = 1;
    } else console.log(`${names.length} committed files equal a fresh build.`);
  } finally {
    await rm(fresh, { recursive: true });
  }
}

if (process.argv.includes("--check")) await check();
else {
  await mkdir(committed, { recursive: true });
  await buildInto(committed);
}
