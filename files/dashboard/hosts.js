// The table of hosts.
import { element } from "./element.js";
import { find, mark, rows, write } from "./elements.js";
import { SIGNS, TEXTS } from "./texts.js";
import { bitrate, count, NONE, percent, since, size, span } from "./units.js";

/**
 * @typedef {{host: string, age: number, silent: boolean, version?: string, since?: number, cpu?: number | null,
 *   media?: {used: number, size: number} | null, troubles?: string[], streams: number, viewers?: number, sent_kbps?: number}} Host
 */

/** @param {string} label */
const cell = (label) => element("td", { role: "cell", "data-label": label }, element("div"));

/** @param {() => string} here @returns {{root: HTMLElement, show: (host: Host) => void}} */
function hostRow(here) {
  const name = element("b"), about = element("small");
  const head = element("th", { scope: "row", role: "rowheader" }, element("div", {}, name, about));
  const cells = ["Health", "Streams", "Viewers", "Sent", "CPU", "Media memory", "Version"].map(cell);
  const root = element("tr", { role: "row" }, head, ...cells);
  return {
    root,
    show(host) {
      const troubles = host.troubles ?? [];
      const level = host.silent ? "critical" : troubles.length ? "warning" : "good";
      const words = host.silent ? TEXTS.host.silent(span(host.age)) : troubles.join("; ") || TEXTS.host.good;
      mark(root, level);
      write(name, host.host);
      write(about, host.host === here() ? TEXTS.host.here : "");
      const texts = [`${SIGNS[level]} ${words}`, count(host.streams), count(host.viewers), bitrate(host.sent_kbps), percent(host.cpu),
        host.media ? `${size(host.media.used)} of ${size(host.media.size)}` : NONE,
        [host.version ?? NONE, since(host.since)].join(", ")];
      texts.forEach((text, index) => write(/** @type {Element} */ (cells[index].firstElementChild), text));
    },
  };
}

/** @returns {(overview: {here: string, hosts: Host[]}) => void} */
export function hosts() {
  let here = "";
  const place = /** @type {HTMLElement} */ (find("#hosts").querySelector("tbody"));
  const show = rows(place, (/** @type {Host} */ { host }) => host, () => hostRow(() => here));
  return (overview) => {
    here = overview.here;
    show(overview.hosts);
  };
}
