// What happened lately, the newest first.
import { element, find } from "./elements.js";
import { exact } from "./units.js";

const MOST = 100;

/** @typedef {{at: number, host: string, stream: string, level: string, text: string}} Happening */

/** @returns {{add: (news: Happening[]) => void, clear: () => void}} */
export function happenings() {
  const list = find("#happenings");
  const empty = find("#happenings-title ~ .empty");
  list.hidden = true;
  return {
    add(news) {
      for (const { at, host, stream, level, text } of news) {
        const where = [stream, host].filter(Boolean).join(" on ");
        const time = element("time", { dateTime: new Date(at * 1000).toISOString() }, exact(at));
        list.prepend(element("li", { "data-level": level }, time, element("span", {}, element("b", {}, where), " ", text)));
      }
      while (list.children.length > MOST) list.lastElementChild?.remove();
      list.hidden = !list.children.length;
      empty.hidden = !list.hidden;
    },
    clear() {
      list.replaceChildren();
    },
  };
}
