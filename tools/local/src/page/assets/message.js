// One message, or the parts of an album, as an item of the conversation.

import { api, fileUrl } from "./api.js";
import { byId, h, time } from "./dom.js";

const words = (message) => message.text ?? message.caption ?? "";

/** What a message is about, in few words: for quotes and for those who can't see the photo. */
export function gist(message) {
  if (words(message)) return words(message);
  return message.attachment?.kind === "photo" ? "Photo" : (message.attachment?.file_name ?? "File");
}

function view(message) {
  byId("viewer-photo").src = fileUrl(message.attachment.file_id);
  byId("viewer-photo").alt = gist(message);
  byId("viewer-caption").textContent = words(message);
  byId("viewer").showModal();
}

function attachment(message) {
  const { kind, file_id, file_name, mime_type } = message.attachment;
  const who = message.from_bot ? "The bot's photo" : "Your photo";
  if (kind === "photo") {
    const alt = words(message) ? `${who}: ${words(message)}` : who;
    const photo = h("img", { src: fileUrl(file_id), alt });
    // A browser can't show some photos, on purpose: they are not images.
    photo.addEventListener("error", () => photo.replaceWith(h("span", { class: "no-photo" }, "not an image")));
    return h("button", { type: "button", class: "photo", "aria-label": `${alt}. Enlarge`, onclick: () => view(message) }, photo);
  }
  const name = file_name ?? kind;
  return h("a", { class: "file", href: fileUrl(file_id), download: name }, h("span", { class: "file-name" }, name), h("span", { class: "faint" }, mime_type));
}

function keyboard(message, person) {
  if (!message.buttons.length) return null;
  const button = ({ text, callback_data, url }) => {
    if (url) return h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, text);
    const press = async (event) => {
      const pressed = event.currentTarget;
      // What is disabled loses the keyboard's focus; this is only said to be.
      if (pressed.getAttribute("aria-disabled") === "true") return;
      pressed.setAttribute("aria-disabled", "true");
      await api.press(person, message.message_id, callback_data);
      setTimeout(() => pressed.removeAttribute("aria-disabled"), 1000);
    };
    return h("button", { type: "button", onclick: press }, text);
  };
  const rows = message.buttons.map((row) => h("div", { class: "row" }, ...row.map(button)));
  return h("div", { class: "keyboard", role: "group", "aria-label": "Buttons under this message" }, ...rows);
}

/** `parts` are one message or an album's; `find` gives a message by its number. */
export function bubble(parts, person, find) {
  const first = parts[0];
  const from = first.from_bot ? "bot" : "me";
  const answered = first.from_bot && first.reply_to ? find(first.reply_to) : null;
  const quote = answered && h("p", { class: "quote" }, h("span", { class: "hidden" }, "In answer to: "),
    answered.attachment?.kind === "photo" && h("img", { src: fileUrl(answered.attachment.file_id), alt: "" }),
    h("span", {}, gist(answered)));
  const attached = parts.filter((part) => part.attachment).map((part) => attachment(part));
  const said = parts.map(words).filter(Boolean).map((text) => h("p", { class: "words" }, text));
  const content = h("div", { class: "bubble" },
    h("span", { class: "hidden" }, from === "bot" ? "Polybot: " : "You: "),
    quote,
    attached.length > 0 && h("div", { class: "photos", data: { count: Math.min(attached.length, 4) } }, ...attached),
    ...said,
    h("time", { datetime: new Date(first.at_ms).toISOString() }, (first.edited ? "edited " : "") + time(first.at_ms)));
  return h("li", { class: `message ${from}` }, content, ...parts.map((part) => keyboard(part, person)));
}
