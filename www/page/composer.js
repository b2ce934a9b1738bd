// Where questions are written, and the buttons that act on the conversation.

import { byId, make } from "./dom.js";

/** @typedef {import("./session.js").Session} Session */

/** A pause in writing that is long enough to read what is there, ms: a fast typist's distance between two keys. */
const PAUSE = 100;
/** `keyCode` of a key that an input method has taken (UI Events, "Legacy key attributes"). */
const TAKEN_BY_INPUT_METHOD = 229;

export class Composer {
  #form = byId("composer", HTMLFormElement);
  #question = byId("question", HTMLTextAreaElement);
  #send = byId("send", HTMLButtonElement);
  #stop = byId("stop", HTMLButtonElement);
  #regenerate = byId("regenerate", HTMLButtonElement);
  #suggestions = byId("suggestions", HTMLElement);
  #pause = 0;
  /** The picture has been read: so may a question be. */
  #seen = false;

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    session.addEventListener("change", () => this.#render());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    this.#question.addEventListener("keydown", (event) => {
      // Enter that confirms a word in an input method is not a question. Safari sends it after the composition has ended,
      // with the code of keys that an input method took.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === TAKEN_BY_INPUT_METHOD) return;
      event.preventDefault();
      this.#ask();
    });
    this.#question.addEventListener("input", () => {
      this.#question.setCustomValidity("");
      clearTimeout(this.#pause);
      this.#pause = setTimeout(() => session.draft(this.#question.value.trim()), PAUSE);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !document.querySelector("dialog[open]")) session.stop();
    });
    this.#stop.addEventListener("click", () => {
      session.stop();
      this.#question.focus();
    });
    this.#regenerate.addEventListener("click", () => session.regenerate());
    byId("new-chat", HTMLButtonElement).addEventListener("click", () => {
      session.newChat();
      this.#question.focus();
    });
    this.#render();
  }

  /** Questions that suit the picture. @param {string[]} questions */
  suggest(questions) {
    const buttons = questions.map((text) => {
      const button = make("button", { class: "suggestion", text });
      button.type = "button";
      button.addEventListener("click", () => {
        this.#question.value = text;
        this.#ask();
      });
      // A hand or the keyboard on its way to it.
      for (const near of ["pointerenter", "focus"]) button.addEventListener(near, () => this.session.draft(text));
      return button;
    });
    this.#suggestions.replaceChildren(...buttons);
    this.#render();
  }

  get #answering() {
    return this.session.conversation.last?.state === "streaming";
  }

  #ask() {
    const question = this.#question.value.trim();
    this.#question.setCustomValidity(this.session.picture ? "" : "Show it a picture first.");
    this.#question.reportValidity();
    if (this.#send.disabled || !question) return;
    clearTimeout(this.#pause);
    this.#question.value = "";
    this.session.ask(question);
  }

  #render() {
    const { loaded, picture, conversation, phase } = this.session;
    const seen = loaded && Boolean(picture?.seen);
    // What was written while the model or the picture was on its way.
    const written = seen && !this.#seen ? this.#question.value.trim() : "";
    this.#seen = seen;
    if (written) this.session.draft(written);
    // A question may be asked while the picture is still being read; it waits for it.
    this.#send.disabled = !loaded || !picture || this.#answering;
    this.#send.title = picture ? "" : "Show it a picture first";
    this.#stop.disabled = !(this.#answering || phase === "encoding");
    this.#regenerate.disabled = !loaded || !conversation.last || this.#answering || !picture;
    for (const button of this.#suggestions.children) {
      if (button instanceof HTMLButtonElement) button.disabled = this.#send.disabled;
    }
  }
}
