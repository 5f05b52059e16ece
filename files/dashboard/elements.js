// Small helpers to keep elements, and shapes to draw with.

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @returns {SVGElement}
 */
export function shape(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

/** @param {string} selector @returns {HTMLElement} what stands in the page. */
export const find = (selector) => /** @type {HTMLElement} */ (document.querySelector(selector));

/**
 * Writes a text where it is another one: what did not change is not touched, and keeps its selection.
 * @param {Node} node
 * @param {string} text
 */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {HTMLElement} node @param {string} level */
export function mark(node, level) {
  if (node.dataset.level !== level) node.dataset.level = level;
}

/**
 * Rows that stay the same elements while what they show changes.
 * @template T
 * @param {HTMLElement} place
 * @param {(item: T) => string} nameOf
 * @param {(item: T) => {root: HTMLElement, show: (item: T) => void}} make
 * @returns {(items: T[]) => void}
 */
export function rows(place, nameOf, make) {
  /** @type {Map<string, {root: HTMLElement, show: (item: T) => void}>} */
  const kept = new Map();
  return (items) => {
    const names = new Set(items.map(nameOf));
    for (const [name, { root }] of kept) {
      if (names.has(name)) continue;
      root.remove();
      kept.delete(name);
    }
    const roots = items.map((item) => {
      const name = nameOf(item);
      const row = kept.get(name) ?? make(item);
      kept.set(name, row);
      row.show(item);
      return row.root;
    });
    // Who is at one of them with the keyboard is not moved away from it.
    const held = place.contains(document.activeElement);
    roots.forEach((root, index) => {
      if (root.parentNode !== place) place.append(root);
      if (!held && place.children[index] !== root) place.insertBefore(root, place.children[index]);
    });
  };
}
