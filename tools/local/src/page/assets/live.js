// The one connection over which the server tells what happens.

import { byId } from "./dom.js";

/** `on` has a function for each kind of event. The browser reconnects by itself and goes on where it was. */
export function listen(on) {
  const connection = byId("connection");
  const show = (state, words) => {
    if (connection.dataset.state === state) return;
    connection.dataset.state = state;
    connection.textContent = words;
  };
  let run = null;
  const source = new EventSource("api/live");
  source.addEventListener("open", () => show("live", "live"));
  source.addEventListener("error", () => show("lost", "connection lost; trying again…"));
  source.addEventListener("hello", (event) => {
    const hello = JSON.parse(event.data);
    // Another fleet than the one whose chats are on the screen.
    if (run !== null && run !== hello.run) return location.reload();
    run = hello.run;
    on.hello(hello);
  });
  for (const kind of ["history", "fleet", "people", "chat", "caught-up"]) {
    source.addEventListener(kind, (event) => on[kind](JSON.parse(event.data)));
  }
}
