// Where hls.js comes from. On a host this file is hls.js itself; in a package it is what npm installed.
export { default } from "hls.js";
