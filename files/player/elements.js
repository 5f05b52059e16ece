// Pictures, and buttons that show one.

import { element } from "./element.js";

const SVG = "http://www.w3.org/2000/svg";

/** Shapes on a field of 24 by 24. */
const SHAPES = {
  play: "M7 4v16l13-8z",
  pause: "M6 4h4v16H6zM14 4h4v16h-4z",
  sound: "M4 9v6h4l5 5V4L8 9zM16 8.5a5 5 0 0 1 0 7zM16 4a9 9 0 0 1 0 16v-2a7 7 0 0 0 0-12z",
  mute: "M4 9v6h4l5 5V4L8 9zM15.5 9.9l1.4-1.4 2.1 2.1 2.1-2.1 1.4 1.4-2.1 2.1 2.1 2.1-1.4 1.4-2.1-2.1-2.1 2.1-1.4-1.4 2.1-2.1z",
  fullscreen: "M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z",
  small: "M3 5h18v14H3zM5 7v10h14V7zM12 12h6v4h-6z",
  statistics: "M4 20V10h4v10zM10 20V4h4v16zM16 20v-7h4v7z",
};

/** @param {keyof typeof SHAPES} shape @returns {SVGSVGElement} a picture that says nothing to a screen reader. */
export function icon(shape) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[shape]);
  svg.append(path);
  return svg;
}

/**
 * A button that shows a picture and says a text.
 * @param {keyof typeof SHAPES} shape
 * @param {string} label
 * @param {() => void} onclick
 * @returns {HTMLButtonElement}
 */
export const iconButton = (shape, label, onclick) =>
  element("button", { type: "button", className: "icon", "aria-label": label, title: label, onclick }, icon(shape));

/**
 * @param {HTMLButtonElement} button
 * @param {keyof typeof SHAPES} shape
 * @param {string} label
 */
export function relabel(button, shape, label) {
  if (button.title === label) return;
  button.replaceChildren(icon(shape));
  button.title = label;
  button.setAttribute("aria-label", label);
}
