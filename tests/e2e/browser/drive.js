// Opens pages and does with them what it is told.
//
//   node drive.js CHROMIUM
//
// Each line of standard input is one command in JSON, and answered with one line of JSON: `{"value": …}`, or
// `{"error": …}`. The end of standard input is the end. Commands (the first key says which):
//
//   {"open": URL, "width", "height", "scheme": "dark" | "light"}   a new page, in place of the one before
//   {"evaluate": EXPRESSION}        what it gives in the page
//   {"until": EXPRESSION, "seconds"}   waits until it is true in the page
//   {"press": KEY}  {"click": SELECTOR}  {"select": SELECTOR, "label"}
//   {"picture": PATH}               of the page, as PNG
//   {"axe": true}                   what axe-core finds, the serious and critical alone
//   {"seen": true}                  {violations, errors, asked, requests} since the page was opened;
//                                   `requests` are those that ended well, with their sizes
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SERIOUS = new Set(["serious", "critical"]);
const SECONDS = 30;

// As people have it: no page begins with sound by itself.
const browser = await chromium.launch({ executablePath: process.argv[2], args: ["--no-sandbox", "--disable-gpu"] });
let page = null;
let seen = {};

// Runs in every frame before anything of the page does.
function watchPage() {
  document.addEventListener("playing", () => {
    globalThis.firstPicture ??= performance.now();
  }, true);
  globalThis.violations = [];
  document.addEventListener("securitypolicyviolation", (event) => {
    globalThis.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
  });
}

async function open({ open: url, width = 1280, height = 800, scheme = "dark" }) {
  await page?.context().close();
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme });
  page = await context.newPage();
  page.setDefaultTimeout(SECONDS * 1000);
  seen = { errors: [], asked: [], requests: [] };
  const own = seen;
  page.on("console", (message) => message.type() === "error" && own.errors.push(message.text()));
  page.on("pageerror", (error) => own.errors.push(error.message));
  page.on("request", (request) => own.asked.push(request.url()));
  page.on("requestfinished", async (request) => {
    const sizes = await request.sizes().catch(() => null);
    const headers = await request.allHeaders().catch(() => ({}));
    own.requests.push({ url: request.url(), referrer: headers.referer ?? "", body: sizes?.responseBodySize ?? 0 });
  });
  await page.addInitScript(watchPage);
  await page.goto(url);
}

async function axe() {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations
    .filter(({ impact }) => SERIOUS.has(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`);
}

// Not by waitForFunction: it evaluates within the page, whose policy forbids that.
async function until({ until: expression, seconds }) {
  const deadline = Date.now() + seconds * 1000;
  while (!(await page.evaluate(expression))) {
    if (Date.now() > deadline) {
      const text = await page.evaluate(() => document.body.innerText);
      throw new Error(`not within ${seconds} s; the page says: ${text}; ${JSON.stringify(seen.errors.slice(-5))}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function obey(command) {
  const [verb] = Object.keys(command);
  switch (verb) {
    case "open":
      return open(command);
    case "evaluate":
      return page.evaluate(command.evaluate);
    case "until":
      return until(command);
    case "press":
      return page.keyboard.press(command.press);
    case "click":
      return page.click(command.click);
    case "select":
      return void (await page.selectOption(command.select, { label: command.label }));
    case "picture":
      return void (await page.screenshot({ path: command.picture }));
    case "axe":
      return axe();
    case "seen":
      return { ...seen, violations: await page.evaluate(() => globalThis.violations) };
    default:
      throw new Error(`unknown command ${verb}`);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify({ value: (await obey(JSON.parse(line))) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.message }));
  }
}
await browser.close();
