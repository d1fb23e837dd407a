// What is being written: a text, photos with a caption, an album.

import { byId, h, toast } from "./dom.js";

/** As in Telegram. */
const MOST_FILES = 10;
const MOST_BYTES = 20 * 1024 * 1024;
/** What goes as a photo; other files go as files, as Telegram's apps do it. */
const PHOTOS = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp"];
/** What only an album can be asked for. */
const ALBUM_ONLY = "concat";

export class Composer {
  /** `send(form)` sends it and answers null if that failed. */
  constructor(send) {
    this.send = send;
    this.attached = [];
    this.known = [];
    const text = byId("text");
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    text.addEventListener("keydown", (event) => {
      // While a word is being composed (as in Japanese), Enter ends the word.
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.submit();
      }
    });
    text.addEventListener("input", () => this.fit());
    text.addEventListener("paste", (event) => this.attach(event.clipboardData.files));
    byId("files").addEventListener("change", (event) => {
      this.attach(event.target.files);
      event.target.value = "";
    });
    this.takeDrops();
    for (const sample of document.querySelectorAll("[data-sample]")) {
      sample.addEventListener("click", () => this.attachSample(sample.dataset.sample));
    }
  }

  addressed({ name }) {
    this.name = name;
    this.show();
  }

  captions(captions) {
    this.known = captions;
    this.show();
  }

  write(text) {
    byId("text").value = text;
    this.fit();
    byId("text").focus();
  }

  takeDrops() {
    const chat = byId("chat");
    let depth = 0;
    const hover = (change) => {
      depth = Math.max(0, depth + change);
      chat.classList.toggle("dropping", depth > 0);
    };
    chat.addEventListener("dragenter", () => hover(1));
    chat.addEventListener("dragleave", () => hover(-1));
    chat.addEventListener("drop", (event) => {
      event.preventDefault();
      depth = 0;
      hover(0);
      this.attach(event.dataTransfer.files);
    });
  }

  async attachSample(name) {
    const response = await fetch(name);
    if (response.ok) this.attach([new File([await response.blob()], name, { type: "image/png" })]);
  }

  attach(files) {
    for (const file of files) {
      if (this.attached.length === MOST_FILES) {
        toast(`An album has at most ${MOST_FILES} photos.`, "error");
        break;
      }
      if (file.size > MOST_BYTES) toast(`${file.name} is larger than the 20 MB that Telegram lets a bot download.`, "error");
      else if (file.size === 0) toast(`${file.name} is empty.`, "error");
      else this.attached.push({ file, url: PHOTOS.includes(file.type) ? URL.createObjectURL(file) : null });
    }
    this.show();
    if (files.length) byId("text").focus();
  }

  detach(item) {
    if (item.url) URL.revokeObjectURL(item.url);
    this.attached = this.attached.filter((other) => other !== item);
    this.show();
    byId("text").focus();
  }

  show() {
    byId("attached").replaceChildren(...this.attached.map((item) => h("li", {},
      item.url ? h("img", { src: item.url, alt: item.file.name }) : h("span", { class: "file-name" }, item.file.name),
      h("button", { type: "button", "aria-label": `Remove ${item.file.name}`, onclick: () => this.detach(item) }, "×"))));
    const isAlbum = this.attached.length > 1;
    const fitting = this.known.filter(({ name }) => name !== ALBUM_ONLY || isAlbum);
    byId("captions").hidden = this.attached.length === 0;
    byId("captions").replaceChildren(...fitting.map(({ caption, name, description }) =>
      h("button", { type: "button", title: description, onclick: () => this.write(caption) }, name)));
    byId("text").placeholder = this.attached.length ? "Caption (optional)" : `Message as ${this.name ?? "…"}`;
  }

  /** The field is as high as its text. */
  fit() {
    const text = byId("text");
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight, 160)}px`;
  }

  async submit() {
    const text = byId("text").value.trim();
    if (this.isSending || (!text && !this.attached.length)) return;
    const form = new FormData();
    form.set("text", text);
    for (const { file, url } of this.attached) form.append(url ? "photo" : "document", file, file.name);
    this.isSending = true;
    byId("send").disabled = true;
    const sent = await this.send(form);
    this.isSending = false;
    byId("send").disabled = false;
    if (!sent) return;
    for (const { url } of this.attached) if (url) URL.revokeObjectURL(url);
    this.attached = [];
    this.show();
    this.write("");
  }
}
