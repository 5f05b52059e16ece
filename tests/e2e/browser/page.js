// A page with a video element and hls.js in a headless Chromium.
//
// The page is served from a small server of its own: a page from a file has no origin that CORS could allow.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const HTML = `<!doctype html><meta charset="utf-8"><video id="video" muted autoplay></video>
<script src="/hls.js"></script>`;

/** Opens the page, hands it to `use`, and closes everything. */
export async function withPage(browserPath, use) {
  const library = await readFile(createRequire(import.meta.url).resolve("hls.js/dist/hls.min.js"));
  const server = createServer((request, response) => {
    const script = request.url === "/hls.js";
    response.setHeader("content-type", script ? "text/javascript" : "text/html");
    response.end(script ? library : HTML);
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
