// Keys of the player. They count while something of the player has the focus, and no field wants them for itself.

/** Whose own keys go before ours; a slider takes arrows alone. */
const FIELDS = "select, input:not([type=range]), textarea";
const SLIDER_KEYS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]);

/**
 * @param {HTMLElement} root
 * @param {Record<string, () => void>} actions by the key's name (KeyboardEvent.key), letters small
 */
export function keyboard(root, actions) {
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.matches(FIELDS)) return;
    if (target.matches("input") && SLIDER_KEYS.has(event.key)) return;
    // These press the button that has the focus.
    if (target.matches("button") && (event.key === " " || event.key === "Enter")) return;
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
