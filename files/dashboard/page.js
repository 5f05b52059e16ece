// The page /dashboard.
import { ask } from "./ask.js";
import { element } from "./element.js";
import { find, write } from "./elements.js";
import { happenings } from "./happenings.js";
import { hosts } from "./hosts.js";
import { live } from "./live.js";
import { plots } from "./plots.js";
import { signingIn } from "./signing-in.js";
import { streams } from "./streams.js";
import { TEXTS } from "./texts.js";
import { bitrate, count, exact } from "./units.js";

const HISTORY_MS = 60_000; // as often as a sample is taken

const told = find("#told");
const connection = find("#connection");
/** @param {string} text */
const tell = (text) => {
  // The same again is said again.
  told.textContent = "";
  setTimeout(() => write(told, text), 50);
};

const table = streams(tell);
const showHosts = hosts();
const list = happenings();
const drawPlots = plots(find("#plots"));
let heard = Date.now() / 1000;
let history = 0;

const totals = Object.entries(TEXTS.totals).map(([name, title]) => {
  const value = element("dd");
  find("#totals").append(element("div", {}, element("dt", {}, title), value));
  return /** @type {const} */ ([name, value]);
});

/** @param {any} overview */
function show(overview) {
  heard = Date.now() / 1000;
  for (const [name, value] of totals) write(value, (name.endsWith("kbps") ? bitrate : count)(overview.totals[name]));
  table.show(overview);
  showHosts(overview);
}

async function remember() {
  if (document.hidden) return;
  try {
    const past = await ask("GET", "history");
    drawPlots(past);
    table.remember(past);
  } catch {
    // It is asked for again in a minute; that nobody answers, the other connection says.
  }
}

const connected = (/** @type {boolean} */ is) => {
  write(connection, is ? TEXTS.connected : TEXTS.away(exact(heard)));
  connection.dataset.level = is ? "good" : "critical";
};

const stream = live({
  overview: show,
  happenings: list.add,
  trouble: (text) => {
    write(connection, text);
    connection.dataset.level = "critical";
  },
  signedOut: () => session.out(TEXTS.signedOut),
  connected,
  async refused() {
    const who = await ask("GET", "session").catch(() => null);
    if (who === null || who.operator) return true;
    session.out(TEXTS.signedOut);
    return false;
  },
});

const session = signingIn({
  begin() {
    write(connection, TEXTS.connecting);
    connection.dataset.level = "waiting";
    list.clear();
    stream.begin();
    clearInterval(history);
    history = setInterval(remember, HISTORY_MS);
    remember();
  },
  end() {
    stream.end();
    clearInterval(history);
    write(connection, "");
    for (const open of document.querySelectorAll("dialog")) open.close();
  },
});
document.addEventListener("visibilitychange", remember);
session.look();
