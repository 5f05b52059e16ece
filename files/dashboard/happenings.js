// What happened lately, the newest first.
import { element } from "./element.js";
import { find } from "./elements.js";
import { exact } from "./units.js";

const MOST = 100;

/** @typedef {{id: string, at: number, host: string, stream: string, level: string, text: string}} Happening */

/** @returns {{add: (news: Happening[]) => void, clear: () => void}} */
export function happenings() {
  const list = find("#happenings");
  const empty = find("#happenings-title ~ .empty");
  // A new connection begins with the newest ones, of which some stand here already.
  /** @type {Map<string, HTMLElement>} */
  const shown = new Map();

  function forget() {
    const [[id, item]] = shown;
    shown.delete(id);
    item.remove();
  }

  /** @param {Happening} happening */
  function show({ id, at, host, stream, level, text }) {
    const where = [stream, host].filter(Boolean).join(" on ");
    const time = element("time", { dateTime: new Date(at * 1000).toISOString() }, exact(at));
    const item = element("li", { "data-level": level }, time, element("span", {}, element("b", {}, where), " ", text));
    shown.set(id, item);
    list.prepend(item);
  }

  const note = () => {
    list.hidden = !shown.size;
    empty.hidden = !list.hidden;
  };
  note();

  return {
    add(news) {
      for (const each of news) if (!shown.has(each.id)) show(each);
      while (shown.size > MOST) forget();
      note();
    },
    clear() {
      while (shown.size) forget();
      note();
    },
  };
}
