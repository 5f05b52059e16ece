// The player as a React component:
//
//   <LivePlayer host="https://live.example.org:8443" stream="demo" token={token} onState={(state) => …} />
//
// It is the player of the page /watch, in this component's element; see ../README.md for how to install it.
import { createElement, useEffect, useRef } from "react";
import { mount } from "appliance-player";

/**
 * @param {object} properties
 * @param {string} properties.host where the streaming host is
 * @param {string} properties.stream
 * @param {string} [properties.token] of the viewer, for streams that want one
 * @param {object} [properties.texts] in another language (texts.js has the form); another object begins anew
 * @param {(state: {name: string, reason: string | null}) => void} [properties.onState]
 */
export function LivePlayer({ host, stream, token = "", texts, onState }) {
  const place = useRef(null);
  const told = useRef(onState);
  useEffect(() => {
    told.current = onState;
  }, [onState]);
  useEffect(() => {
    const { player, destroy } = mount(place.current, { origin: host, stream, token, texts });
    const tell = () => told.current?.(player.state);
    player.addEventListener("state", tell);
    return destroy;
  }, [host, stream, token, texts]);
  return createElement("div", { ref: place });
}
