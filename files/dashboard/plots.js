// Values over time as lines, each with the same in words.
import { element } from "./element.js";
import { shape, write } from "./elements.js";
import { TEXTS } from "./texts.js";
import { bitrate, clock, count } from "./units.js";

/** @typedef {(number | null)[]} Values one for each minute, null where nobody told */

const HEIGHT = 100;

/**
 * @param {Values} values
 * @param {number} most
 * @returns {string} a path on a field that is as wide as there are values; where there is none, it has a gap.
 */
function line(values, most) {
  let path = "";
  values.forEach((value, index) => {
    if (value === null) return;
    const y = (HEIGHT - (HEIGHT * value) / most).toFixed(1);
    path += (values[index - 1] ?? null) === null ? `M${index} ${y}h.5` : `L${index} ${y}`;
  });
  return path;
}

/** @param {Values} values @returns {number[]} */
const known = (values) => /** @type {number[]} */ (values.filter((value) => value !== null));

/** @param {number} most @returns {number} the next of 2, 4, 10, 20, 40, 100, …: the half of it is whole, too. */
function roundUp(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 2)));
  return power * (/** @type {number} */ ([1, 2, 4, 10].find((factor) => factor * power >= Math.max(most, 2))));
}

/** @param {number} width @param {Record<string, string>} more */
const field = (width, more) =>
  shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, preserveAspectRatio: "none", focusable: "false", ...more });

/**
 * A small line beside a figure; what it shows is said in words behind the figure.
 * @returns {{root: HTMLElement, show: (values: Values, name: (value: number) => string) => void}}
 */
export function sparkline() {
  const path = shape("path", {});
  const svg = field(60, { "aria-hidden": "true" });
  const words = element("span", { className: "unseen" });
  svg.append(path);
  const root = element("span", { className: "spark", hidden: true }, svg, words);
  return {
    root,
    show(values, name) {
      const hour = values.slice(-60);
      // From the first value on: of a stream of ten minutes it is as long as that of a day.
      const last = hour.slice(hour.findIndex((value) => value !== null));
      const given = known(last);
      root.hidden = given.length < 2;
      if (root.hidden) return;
      svg.setAttribute("viewBox", `0 0 ${Math.max(1, last.length - 1)} ${HEIGHT}`);
      path.setAttribute("d", line(last, Math.max(...given, 1)));
      write(words, TEXTS.spark(last.length, name(Math.min(...given)), name(Math.max(...given))));
    },
  };
}

/** @param {"viewers" | "sent_kbps" | "received_kbps"} figure */
function plot(figure) {
  const name = figure === "viewers" ? count : bitrate;
  const path = shape("path", { class: "line" });
  const area = shape("path", { class: "area" });
  const svg = field(360, { role: "img" });
  svg.append(area, path);
  const scale = element("span", { className: "scale", "aria-hidden": "true" });
  const times = element("span", { className: "times", "aria-hidden": "true" });
  const value = element("b");
  const root = element("figure", {},
    element("figcaption", {}, TEXTS.plots[figure], " ", value),
    element("div", { className: "field" }, scale, svg), times);
  return {
    root,
    /** @param {Values} values @param {number} end unix seconds @param {number} step seconds */
    show(values, end, step) {
      const given = known(values);
      const most = Math.max(0, ...given);
      const top = roundUp(most);
      const shown = line(values, top);
      path.setAttribute("d", shown);
      area.setAttribute("d", shown.replace(/M([\d.]+) ([\d.]+)h\.5((?:L[\d.]+ [\d.]+)*)/g, (_, x, y, rest) => {
        const last = rest.match(/L([\d.]+) [\d.]+$/)?.[1] ?? x;
        return `M${x} ${HEIGHT}V${y}${rest}L${last} ${HEIGHT}z`;
      }));
      scale.replaceChildren(...[top, top / 2, 0].map((each) => element("span", {}, name(each))));
      times.replaceChildren(...[0, 0.5, 1].map((part) => element("span", {}, clock(end - (1 - part) * step * (values.length - 1)))));
      const now = given.length ? name(given[given.length - 1]) : "";
      write(value, now);
      const when = clock(end - step * (values.length - 1 - values.indexOf(most)));
      svg.setAttribute("aria-label", given.length ? TEXTS.plot(TEXTS.plots[figure], now, name(most), when) : TEXTS.noPlot(TEXTS.plots[figure]));
    },
  };
}

/** @param {HTMLElement} place @returns {(history: any) => void} */
export function plots(place) {
  const all = /** @type {const} */ (["viewers", "sent_kbps", "received_kbps"]).map((figure) => /** @type {const} */ ([figure, plot(figure)]));
  place.append(...all.map(([, { root }]) => root));
  return ({ total, end, step }) => {
    for (const [figure, { show }] of all) show(total[figure], end, step);
  };
}
