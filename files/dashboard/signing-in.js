// Signing in and out, and which of the two pages is seen.
import { ask, AskError } from "./ask.js";
import { find, write } from "./elements.js";
import { TEXTS } from "./texts.js";

/** @param {AskError} error */
export const wordsFor = (error) => error.message[0]?.toUpperCase().concat(error.message.slice(1)) || TEXTS.silent;

/**
 * @param {{begin: () => void, end: () => void}} dashboard called when somebody is signed in, and when no longer
 * @returns {{look: () => Promise<void>, out: (reason: string) => void}}
 */
export function signingIn(dashboard) {
  const form = /** @type {HTMLFormElement} */ (find("#signing-in form"));
  const error = find("#signing-in .error");
  const operator = find("#operator");
  const [name, password] = /** @type {HTMLInputElement[]} */ ([...form.querySelectorAll("input")]);
  const submit = /** @type {HTMLButtonElement} */ (form.querySelector("button"));

  /** @param {string} text */
  const say = (text) => {
    error.hidden = !text;
    write(error, text);
  };
  /** @param {boolean} inside */
  const turn = (inside) => {
    find("#signing-in").hidden = inside;
    find("#dashboard").hidden = !inside;
    operator.hidden = !inside;
  };
  /** @param {{operator: string}} who */
  const welcome = (who) => {
    say("");
    write(/** @type {HTMLElement} */ (operator.firstElementChild), TEXTS.signedIn(who.operator));
    turn(true);
    dashboard.begin();
  };
  /** @param {string} reason */
  const out = (reason) => {
    dashboard.end();
    turn(false);
    say(reason);
    name.focus();
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    // The password is made slow to try: on a busy host it takes seconds, and the refusal before it is over.
    say("");
    write(submit, TEXTS.signingIn);
    try {
      const who = await ask("POST", "session", { name: name.value, password: password.value });
      form.reset();
      welcome(who);
    } catch (failed) {
      say(wordsFor(/** @type {AskError} */ (failed)));
      password.select();
    } finally {
      submit.disabled = false;
      write(submit, TEXTS.signIn);
    }
  });
  operator.querySelector("button")?.addEventListener("click", async () => {
    await ask("DELETE", "session").catch(() => null);
    out("");
  });

  return {
    out,
    async look() {
      try {
        const who = await ask("GET", "session");
        if (who.operator) welcome(who);
        else out("");
      } catch (failed) {
        out(wordsFor(/** @type {AskError} */ (failed)));
      }
    },
  };
}
