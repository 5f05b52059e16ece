// A page with a video element and hls.js in a headless Chromium.
//
// The page is served from a small server of its own: a page from a file has no origin that CORS could allow.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { chromium } from "playwright-core";

const HTML = `<!doctype html><meta charset="utf-8"><video id="video" autoplay></video>
<script src="/hls.js"></script>`;

const here = (name) => new URL(name, import.meta.url);
const SCRIPTS = {
  "/hls.js": createRequire(import.meta.url).resolve("hls.js/dist/hls.min.js"),
  "/onset.js": here("onset.js"),
};

/** Opens the page, hands it to `use`, and closes everything; `/media/NAME` are the files in `folder`. */
export async function withPage(browserPath, use, folder = "") {
  const server = createServer(async (request, response) => {
    try {
      if (request.url.startsWith("/media/")) {
        response.end(await readFile(join(folder, basename(request.url))));
      } else if (request.url in SCRIPTS) {
        response.setHeader("content-type", "text/javascript");
        response.end(await readFile(SCRIPTS[request.url]));
      } else {
        response.setHeader("content-type", "text/html");
        response.end(HTML);
      }
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const browser = await chromium.launch({
    executablePath: browserPath,
    args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--disable-gpu"],
  });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await use(page);
  } finally {
    await browser.close();
    server.close();
  }
}
