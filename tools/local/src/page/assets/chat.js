// The chats: their people, their messages, and what is being typed.

import { api } from "./api.js";
import { Composer } from "./composer.js";
import { byId, h, keep, toast } from "./dom.js";
import { bubble } from "./message.js";

/** How near to its end the conversation must be to follow it, in pixels. */
const NEAR = 120;
/** How long the bot's "uploading…" is believed. */
const ACTION_MS = 5000;
const ACTIONS = { typing: "Polybot is typing…", upload_photo: "Polybot is sending a photo…", upload_document: "Polybot is sending a file…" };

/** One person's chat with the bot. */
class Conversation {
  constructor(person) {
    this.person = person;
    this.messages = new Map();
    this.unread = 0;
  }

  /** The parts that are shown with this message: those of its album, else itself. */
  parts(message) {
    if (!message.media_group) return [message];
    return [...this.messages.values()].filter((other) => other.media_group === message.media_group);
  }
}

export class Chat {
  constructor() {
    this.conversations = new Map();
    this.current = null;
    this.isPast = true;
    this.composer = new Composer((form) => this.send(form));
    this.follow();
    byId("ask-help").addEventListener("click", () => this.composer.write("/help"));
    const dialog = byId("newcomer-dialog");
    byId("newcomer").addEventListener("click", () => {
      dialog.returnValue = "";
      dialog.showModal();
    });
    byId("newcomer-cancel").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => this.meet(dialog.returnValue === "add"));
  }

  hello({ captions, has_chat }) {
    this.isPast = true;
    byId("log").setAttribute("aria-live", "off");
    this.composer.captions(captions);
    document.body.classList.toggle("no-chat", !has_chat);
    if (!has_chat) document.body.dataset.view = "fleet";
  }

  people(people) {
    for (const person of people) {
      if (!this.conversations.has(person.id)) this.conversations.set(person.id, new Conversation(person));
    }
    const make = ({ id, name }) => {
      const choose = h("input", { type: "radio", name: "person", value: id, onchange: () => this.choose(id) });
      const hue = byId("people").children.length % 6;
      return h("label", { class: `person hue-${hue}` }, choose, h("span", { class: "face", "aria-hidden": "true" }, [...name][0]),
        h("span", { class: "name" }, name), h("span", { class: "unread", data: { person: id } }));
    };
    keep(byId("people"), people, ({ id }) => id, make, (label, { id }) => {
      label.querySelector("input").checked = id === this.current?.person.id;
    });
    if (!this.current && people.length) this.choose(people[0].id);
    this.showUnread();
  }

  choose(id) {
    this.current = this.conversations.get(id);
    this.current.unread = 0;
    const radio = byId("people").querySelector(`input[value="${id}"]`);
    if (radio) {
      radio.checked = true;
      radio.closest("label").scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    this.composer.addressed(this.current.person);
    this.render();
    this.showUnread();
  }

  /** An event of the server's: something that happened in a chat of the page. */
  take(event) {
    const conversation = this.conversations.get(event.chat_id);
    if (!conversation) return;
    const { messages } = conversation;
    switch (event.event) {
      case "sent":
      case "posted":
        messages.set(event.message_id, event);
        if (event.event === "sent") this.notice(conversation, event);
        this.draw(conversation, event);
        break;
      case "edited":
      case "post_edited": {
        const before = messages.get(event.message_id);
        messages.set(event.message_id, { ...event, at_ms: before?.at_ms ?? event.at_ms, edited: before ? words(before) !== words(event) : true });
        this.draw(conversation, messages.get(event.message_id));
        break;
      }
      case "deleted":
      case "post_deleted": {
        const gone = messages.get(event.message_id);
        messages.delete(event.message_id);
        if (gone) this.draw(conversation, gone);
        break;
      }
      case "chat_action":
        if (conversation === this.current && !this.isPast) this.act(ACTIONS[event.action] ?? "Polybot is at work…");
        break;
      case "callback_answered":
        if (conversation === this.current && !this.isPast && event.text) toast(event.text);
        break;
    }
  }

  /** All of the past was told; from here on it is news. */
  caughtUp() {
    this.isPast = false;
    this.render();
    byId("log").setAttribute("aria-live", "polite");
    byId("chat").dataset.ready = "true";
  }

  notice(conversation, message) {
    if (conversation === this.current) this.act("");
    else if (!this.isPast && message.from_bot) {
      conversation.unread += 1;
      this.showUnread();
    }
  }

  showUnread() {
    for (const mark of byId("people").querySelectorAll(".unread")) {
      const { unread } = this.conversations.get(Number(mark.dataset.person));
      mark.textContent = unread || "";
      if (unread) mark.setAttribute("aria-label", `${unread} unread`);
      else mark.removeAttribute("aria-label");
    }
  }

  act(words) {
    clearTimeout(this.acting);
    byId("action").textContent = words;
    if (words) this.acting = setTimeout(() => this.act(""), ACTION_MS);
  }

  /** Shows the current conversation anew. */
  render() {
    const [log, list] = [byId("log"), byId("messages")];
    list.replaceChildren();
    this.act("");
    if (!this.current || this.isPast) return;
    log.setAttribute("aria-label", `Messages between ${this.current.person.name} and Polybot`);
    const drawn = new Set();
    for (const message of this.current.messages.values()) {
      const key = keyOf(message);
      if (drawn.has(key)) continue;
      drawn.add(key);
      list.append(this.bubble(message));
    }
    this.welcome();
    this.scrollToEnd();
  }

  /** Shows one message of the current conversation, where it belongs; what has no parts any more goes. */
  draw(conversation, message) {
    if (conversation !== this.current || this.isPast) return;
    const list = byId("messages");
    const shown = list.querySelector(`[data-key="${keyOf(message)}"]`);
    const follow = this.isAtEnd();
    const parts = conversation.parts(message).filter((part) => conversation.messages.has(part.message_id));
    if (!parts.length) shown?.remove();
    else if (shown) replace(shown, this.bubble(parts[0]));
    else list.append(this.bubble(parts[0]));
    this.welcome();
    if (follow || !message.from_bot) this.scrollToEnd();
  }

  bubble(message) {
    const conversation = this.current;
    const item = bubble(conversation.parts(message), conversation.person.id, (id) => conversation.messages.get(id));
    item.dataset.key = keyOf(message);
    return item;
  }

  welcome() {
    byId("welcome").hidden = byId("messages").children.length > 0;
  }

  isAtEnd() {
    const log = byId("log");
    return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
  }

  /** Whoever reads the end goes on to read the end when the window, or a photo in it, gets another size. */
  follow() {
    let wasAtEnd = true;
    const log = byId("log");
    log.addEventListener("scroll", () => (wasAtEnd = this.isAtEnd()));
    const resized = new ResizeObserver(() => wasAtEnd && this.scrollToEnd());
    resized.observe(log);
    resized.observe(byId("messages"));
  }

  scrollToEnd() {
    const log = byId("log");
    log.scrollTop = log.scrollHeight;
  }

  async send(form) {
    return this.current ? api.send(this.current.person.id, form) : null;
  }

  async meet(isWanted) {
    const form = byId("newcomer-form");
    const name = new FormData(form).get("name");
    form.reset();
    if (!isWanted) return;
    const person = await api.meet(name);
    if (!person) return;
    // The news of them may come later than this answer.
    if (!this.conversations.has(person.id)) this.conversations.set(person.id, new Conversation(person));
    this.choose(person.id);
  }
}

/** Puts a message in the place of what it was. Who was in it with the keyboard stays in it. */
function replace(shown, fresh) {
  const focused = shown.contains(document.activeElement) ? document.activeElement : null;
  shown.replaceWith(fresh);
  if (!focused) return;
  const next = fresh.querySelector(focused.closest(".keyboard") ? ".keyboard :is(button, a)" : "button, a");
  (next ?? byId("log")).focus({ preventScroll: true });
}

const words = (message) => message.text ?? message.caption ?? "";
const keyOf = (message) => (message.media_group ? `album-${message.from_bot}-${message.media_group}` : `message-${message.message_id}`);
