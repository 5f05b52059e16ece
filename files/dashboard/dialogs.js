// Questions before something is done, and the keys of a stream.
import { ask } from "./ask.js";
import { element } from "./element.js";
import { wordsFor } from "./signing-in.js";
import { TEXTS } from "./texts.js";
import { since } from "./units.js";

let made = 0;

/**
 * @param {string} title
 * @param {...Node} content
 * @returns {HTMLDialogElement} a modal dialog that is gone when it is closed; Escape closes it.
 */
function dialog(title, ...content) {
  const id = `dialog-${++made}`;
  const box = element("dialog", { "aria-labelledby": id }, element("h2", { id }, title), ...content);
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

/**
 * Asks, and does it when the answer is yes.
 * @param {{title: string, text: string, yes: string, done: string}} texts
 * @param {() => Promise<unknown>} act
 * @param {(text: string) => void} tell says what came of it
 * @returns {Promise<boolean>} whether it was done
 */
export function confirmed({ title, text, yes, done }, act, tell) {
  return new Promise((resolve) => {
    const error = element("p", { className: "error", role: "alert", hidden: true });
    const go = element("button", { type: "button", className: "danger" }, yes);
    // The one that does nothing has the focus: a key pressed too often does nothing, too.
    const cancel = element("button", { type: "button", autofocus: true }, TEXTS.cancel);
    const box = dialog(title, element("p", {}, text), error, element("p", { className: "buttons" }, cancel, go));
    let was = false;
    cancel.addEventListener("click", () => box.close());
    box.addEventListener("close", () => resolve(was));
    go.addEventListener("click", async () => {
      go.disabled = true;
      error.hidden = true;
      try {
        await act();
        was = true;
        tell(done);
        box.close();
      } catch (failed) {
        error.textContent = wordsFor(/** @type {import("./ask.js").AskError} */ (failed));
        error.hidden = false;
        go.disabled = false;
      }
    });
  });
}

/**
 * @param {string} stream
 * @param {string} inUse id of the key that it is published with, "" for none
 * @param {(text: string) => void} tell
 */
export async function streamKeys(stream, inUse, tell) {
  const texts = TEXTS.keys;
  const list = element("ul", { className: "keys" });
  const error = element("p", { className: "error", role: "alert", hidden: true });
  const close = element("button", { type: "button", autofocus: true, onclick: () => box.close() }, TEXTS.close);
  const box = dialog(texts.title(stream), error, list, element("p", { className: "buttons" }, close));

  /** @param {{id: string, created_at: string, note: string, over: string | null}} key */
  const item = (key) => {
    const about = [texts.made(since(key.created_at)), key.note, key.id === inUse ? texts.inUse : "", key.over ?? ""].filter(Boolean);
    const row = element("li", {}, element("code", {}, key.id), element("span", {}, about.join("; ")));
    if (key.over) return row;
    row.append(element("button", {
      type: "button",
      "aria-label": texts.revokeLabel(key.id),
      onclick: async () => {
        const { title, done, ...rest } = TEXTS.revoke;
        const revoke = () => ask("DELETE", `streams/${stream}/keys/${encodeURIComponent(key.id)}`);
        if (await confirmed({ ...rest, title: title(key.id, stream), done: done(key.id, stream) }, revoke, tell)) await load();
        close.focus();
      },
    }, texts.revoke));
    return row;
  };
  const load = async () => {
    try {
      const { items } = await ask("GET", `streams/${stream}/keys`);
      list.replaceChildren(...items.map(item));
      if (!items.length) list.replaceChildren(element("li", {}, texts.none));
    } catch (failed) {
      const { status } = /** @type {import("./ask.js").AskError} */ (failed);
      error.textContent = status === 404 ? texts.keyless(stream) : wordsFor(/** @type {import("./ask.js").AskError} */ (failed));
      error.hidden = false;
    }
  };
  await load();
}
