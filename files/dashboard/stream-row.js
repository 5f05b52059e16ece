// One row of the table of streams.
import { ask } from "./ask.js";
import { confirmed, streamKeys } from "./dialogs.js";
import { element } from "./element.js";
import { mark, write } from "./elements.js";
import { sparkline } from "./plots.js";
import { SIGNS, TEXTS } from "./texts.js";
import { bitrate, count, NONE, pictures, seconds, since } from "./units.js";

/**
 * @typedef {{level: string, what: string, seen: string, mend: string}} Finding
 * @typedef {{name: string, width?: number, height?: number, fps?: number, kbps?: number, copied?: boolean, dropped: boolean}} Rung
 * @typedef {{name: string, level: keyof typeof SIGNS, words: string, host: string, findings: Finding[], rungs: Rung[],
 *   live?: boolean, picture?: number | null, source?: string, encoder?: string, viewers?: number, received_kbps?: number, sent_kbps?: number,
 *   fps?: number, behind?: number, latency?: number, key?: {id: string, since: number} | null,
 *   publisher: {since: string, client_ip: string, key_id: string} | null}} Stream
 * @typedef {Record<"viewers" | "sent_kbps" | "received_kbps", (number | null)[]>} Past
 */

/** @param {string} label what the column is called, for where there are no columns @param {...Node} content */
const cell = (label, ...content) => element("td", { role: "cell", "data-label": label }, element("div", {}, ...content));

/** @param {Rung} rung */
const rungWords = (rung) =>
  [rung.name, rung.kbps == null ? "" : bitrate(rung.kbps), rung.copied ? TEXTS.copied : ""].filter(Boolean).join(" ");

/** A figure with a line of its last hour. */
function figure() {
  const value = element("span", { className: "value" });
  const more = element("small");
  const spark = sparkline();
  return { value, more, spark, nodes: [value, spark.root, more] };
}

/**
 * @param {string} name
 * @param {{tell: (text: string) => void, past: (name: string) => Past | undefined, here: () => string}} page
 * @returns {{root: HTMLElement, show: (stream: Stream) => void}}
 */
export function streamRow(name, { tell, past, here }) {
  const path = `streams/${name}`;
  /** @type {Stream} */
  let now;
  const picture = element("img", { alt: TEXTS.picture(name), width: 96, height: 54, loading: "lazy", hidden: true });
  picture.addEventListener("error", () => { picture.hidden = true; });
  const about = element("small");
  const sign = element("span", { className: "sign", "aria-hidden": "true" });
  const words = element("span");
  const findings = element("ul", { className: "findings" });
  const viewers = figure(), received = figure(), sent = figure();
  const encoding = element("span"), rungs = element("small");
  const latency = element("span"), behind = element("small");

  /** @param {{button: string, label: (name: string) => string}} texts @param {() => unknown} onclick */
  const button = (texts, onclick) =>
    element("button", { type: "button", "aria-label": texts.label(name), onclick }, texts.button);
  /** @param {"drop" | "rotate"} which @param {() => Promise<unknown>} act */
  const action = (which, act) => {
    const texts = TEXTS[which];
    const asked = () => ({ ...texts, title: texts.title(name), text: texts.text(now.publisher?.key_id ?? ""), done: texts.done(name) });
    return button(texts, () => confirmed(asked(), act, tell));
  };
  const drop = action("drop", () => ask("DELETE", `${path}/publisher`));
  const rotate = action("rotate", () => ask("POST", `${path}/content-key`));
  const keys = button(TEXTS.keys, () => streamKeys(name, now.publisher?.key_id ?? "", tell));

  const root = element("tr", { role: "row", "data-stream": name },
    element("th", { scope: "row", role: "rowheader" }, picture, element("div", { className: "about" }, element("b", {}, name), about)),
    cell("Health", element("p", { className: "health" }, sign, words), findings),
    cell("Viewers", ...viewers.nodes), cell("Received", ...received.nodes), cell("Sent", ...sent.nodes),
    cell("Encoding", encoding, rungs), cell("Latency", latency, behind),
    element("td", { role: "cell", className: "actions" }, element("div", {}, drop, rotate, keys)));

  function showPicture() {
    if (!now.picture || now.host !== here()) {
      picture.hidden = true;
      return;
    }
    const address = `/dashboard/${path}/thumbnail.jpg?${now.picture}`;
    if (picture.getAttribute("src") === address) return;
    picture.hidden = false;
    picture.src = address;
  }

  function showFindings() {
    const texts = now.findings.map(({ what, seen, mend }) => [what, seen, mend]);
    if (findings.dataset.shown === JSON.stringify(texts)) return;
    findings.dataset.shown = JSON.stringify(texts);
    findings.replaceChildren(...texts.map(([what, seen, mend]) =>
      element("li", {}, ...(what === now.words ? [] : [`${what}: `]), seen, " ", element("code", {}, mend))));
  }

  return {
    root,
    show(stream) {
      now = stream;
      const { publisher } = stream;
      mark(root, stream.level);
      write(sign, SIGNS[stream.level]);
      write(words, stream.words);
      write(about, publisher ? TEXTS.published(publisher.client_ip, stream.host, since(publisher.since)) : TEXTS.unpublished(stream.host));
      write(viewers.value, count(stream.viewers));
      write(received.value, bitrate(stream.received_kbps));
      write(received.more, stream.source ?? "");
      write(sent.value, bitrate(stream.sent_kbps));
      write(encoding, stream.encoder ? `${stream.encoder}, ${pictures(stream.fps)}` : NONE);
      const given = stream.rungs.filter(({ dropped }) => dropped).map(({ name: rung }) => rung).join(", ");
      write(rungs, [...stream.rungs.filter(({ dropped }) => !dropped).map(rungWords), given && TEXTS.dropped(given),
        stream.key && TEXTS.keySince(since(stream.key.since))].filter(Boolean).join("; "));
      write(latency, seconds(stream.latency));
      const waits = (stream.behind ?? 0) > 0.5 ? TEXTS.behind(seconds(stream.behind)) : "";
      write(behind, stream.latency == null ? waits : [TEXTS.toPlaylist, waits].filter(Boolean).join("; "));
      const before = past(name);
      if (before) {
        viewers.spark.show(before.viewers, count);
        received.spark.show(before.received_kbps, bitrate);
        sent.spark.show(before.sent_kbps, bitrate);
      }
      drop.disabled = rotate.disabled = !publisher;
      showPicture();
      showFindings();
    },
  };
}
