// Puts the parts together.

import { Chat } from "./chat.js";
import { byId } from "./dom.js";
import { Fleet } from "./fleet.js";
import { listen } from "./live.js";

const chat = new Chat();
const fleet = new Fleet();

listen({
  hello: (hello) => {
    chat.hello(hello);
    fleet.hello(hello);
  },
  people: (people) => chat.people(people),
  chat: (event) => chat.take(event),
  "caught-up": () => chat.caughtUp(),
  history: (points) => fleet.history(points),
  fleet: (state) => fleet.show(state),
});

// On a narrow screen one of the two is seen.
const buttons = document.querySelectorAll("[data-show]");
for (const button of buttons) {
  button.addEventListener("click", () => {
    document.body.dataset.view = button.dataset.show;
    for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    chat.scrollToEnd();
  });
}

// A photo that is dropped beside the chat must not replace the page.
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => event.preventDefault());
}

// Escape closes a dialog by itself; a click beside the photo shall, too.
byId("viewer").addEventListener("click", (event) => {
  if (event.target === event.currentTarget) event.currentTarget.close();
});
