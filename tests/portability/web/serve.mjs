// Serves the page and the exported cases, starts Chromium on them, and prints a line a case.
//
//   node serve.mjs CASES_FOLDER CHROMIUM

import { spawn } from "node:child_process";
import { createReadStream, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [cases, chromium] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const names = readdirSync(cases).filter((f) => f.endsWith(".json")).map((f) => f.slice(0, -5)).sort();
const types = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json" };
/** Seconds without a word from the page after which it is taken for dead. */
const PATIENCE = 240;

let passed = 0, failed = 0, browser, watch;

function end(status, why) {
  if (why) console.log(`FAILED  ${why}`);
  console.log(`${passed} passed, ${failed + (why ? 1 : 0)} failed`);
  browser?.kill("SIGKILL");
  setTimeout(() => {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    process.exit(status);
  }, 500);
}

function heard(message) {
  clearTimeout(watch);
  watch = setTimeout(() => end(1, `no word from the page for ${PATIENCE} s`), 1000 * PATIENCE);
  if (message.adapter) console.log(`adapter: ${message.adapter}\nbrowser: ${message.agent}`);
  else if (message.fatal) end(1, message.fatal);
  else if (message.done) end(failed === 0 && passed === names.length ? 0 : 1, passed + failed < names.length && "cases are missing");
  else if (message.wrong.length === 0) passed++;
  else {
    failed++;
    console.log(`FAILED  ${message.name}\n        ${message.wrong.join("\n        ")}`);
  }
}

const server = createServer((request, response) => {
  const path = new URL(request.url, "http://localhost").pathname;
  if (path === "/say") {
    let text = "";
    request.on("data", (piece) => (text += piece)).on("end", () => {
      response.end();
      heard(JSON.parse(text));
    });
  } else if (path === "/cases") {
    response.end(JSON.stringify(names));
  } else {
    const inCases = path.match(/^\/cases\/([\w-]+\.(json|bin))$/);
    const ours = path.match(/^\/(index\.html|page\.js)?$/);
    const file = inCases ? join(cases, inCases[1]) : ours ? join(here, ours[1] ?? "index.html") : null;
    if (!file) return response.writeHead(404).end();
    response.setHeader("Content-Type", types[extname(file)] ?? "application/octet-stream");
    createReadStream(file).on("error", () => response.destroy()).pipe(response);
  }
});

const profile = mkdtempSync(join(tmpdir(), "gatefold-web-"));
server.listen(0, "localhost", () => {
  const url = `http://localhost:${server.address().port}/`;
  const options = ["--headless=new", "--enable-unsafe-webgpu", "--disable-background-networking", "--no-first-run"];
  if (process.getuid?.() === 0) options.push("--no-sandbox");
  browser = spawn(chromium, [...options, `--user-data-dir=${profile}`, url], { stdio: "ignore" });
  browser.on("error", (error) => end(1, `${chromium}: ${error.message}`));
  watch = setTimeout(() => end(1, `${chromium} did not open the page within ${PATIENCE} s`), 1000 * PATIENCE);
});
