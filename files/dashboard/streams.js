// The table of streams, and what is said aloud of it: what began to ail, and nothing else.
import { find, rows } from "./elements.js";
import { streamRow } from "./stream-row.js";
import { TEXTS } from "./texts.js";

/** @typedef {import("./stream-row.js").Stream} Stream */

const AILING = new Set(["critical", "warning"]);

/**
 * @param {(text: string) => void} tell
 * @returns {{show: (overview: {here: string, streams: Stream[]}) => void, remember: (history: any) => void}}
 */
export function streams(tell) {
  /** @type {Record<string, import("./stream-row.js").Past>} */
  let past = {};
  let here = "";
  /** @type {Map<string, string> | null} */
  let before = null;
  const table = find("#streams");
  const empty = find("#streams-title ~ .empty");
  const page = { tell, past: (/** @type {string} */ name) => past[name], here: () => here };
  const show = rows(/** @type {HTMLElement} */ (table.querySelector("tbody")),
    (/** @type {Stream} */ { name }) => name, ({ name }) => streamRow(name, page));

  /** @param {Stream[]} all */
  function announce(all) {
    const now = new Map(all.filter(({ level }) => AILING.has(level)).map(({ name, words }) => [name, words]));
    const known = before;
    before = now;
    if (known === null) return;
    const news = [...now].filter(([name, words]) => known.get(name) !== words);
    if (news.length) tell(news.map(([name, words]) => TEXTS.ails(name, words)).join(". "));
  }

  return {
    show(overview) {
      here = overview.here;
      show(overview.streams);
      table.hidden = !overview.streams.length;
      empty.hidden = !table.hidden;
      announce(overview.streams);
    },
    remember(history) {
      past = history.streams;
    },
  };
}
