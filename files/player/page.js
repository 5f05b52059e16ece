// The page /watch/STREAM.
import { quietAddress, readAddress } from "./address.js";
import { mount } from "./mount.js";

/** @type {{destroy: () => void} | null} */
let mounted = null;

function begin() {
  const address = readAddress(location);
  const { stream, token } = address;
  // From here on it is sent to nobody: what stands behind the `#` is in no request, no Referer and no log.
  history.replaceState(null, "", quietAddress(address));
  document.title = stream;
  const name = document.querySelector("h1");
  if (name) name.textContent = stream;
  mounted?.destroy();
  const place = /** @type {HTMLElement} */ (document.querySelector("#player"));
  const made = mount(place, { stream, token });
  made.root.focus({ preventScroll: true });
  mounted = made;
}

document.documentElement.classList.toggle("embedded", window.self !== window.top);
begin();
// Somebody opened a new link over this one.
addEventListener("hashchange", begin);
