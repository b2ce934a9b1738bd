// The form for questions, and the buttons that act on the conversation.

import { byId, make } from "./dom.js";

/** @typedef {import("./session.js").Session} Session */

/** Pause in typing after which the question is prefilled, ms: the time between two keys of a fast typist. */
const TYPING_PAUSE = 100;
/** `keyCode` of a key that an input method handles (UI Events, "Legacy key attributes"). */
const IME_KEY_CODE = 229;

export class Composer {
  #form = byId("composer", HTMLFormElement);
  #question = byId("question", HTMLTextAreaElement);
  #send = byId("send", HTMLButtonElement);
  #stop = byId("stop", HTMLButtonElement);
  #regenerate = byId("regenerate", HTMLButtonElement);
  #suggestions = byId("suggestions", HTMLElement);
  #timer = 0;
  /** Whether the picture was encoded at the last change. */
  #encoded = false;

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    session.activity.addEventListener("change", () => this.#render());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    this.#question.addEventListener("keydown", (event) => {
      // An Enter that confirms a word of an input method does not send the question. Safari sends that Enter after the
      // end of the composition, with the key code of an input method.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === IME_KEY_CODE) return;
      event.preventDefault();
      this.#ask();
    });
    this.#question.addEventListener("input", () => {
      this.#question.setCustomValidity("");
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => session.prefill(this.#question.value.trim()), TYPING_PAUSE);
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

  /** Shows buttons with questions that suit the picture. @param {string[]} questions */
  suggest(questions) {
    const buttons = questions.map((text) => {
      const button = make("button", { class: "suggestion", text });
      button.type = "button";
      button.addEventListener("click", () => {
        this.#question.value = text;
        this.#ask();
      });
      // The question is prefilled when the pointer or the keyboard reaches its button.
      for (const near of ["pointerenter", "focus"]) button.addEventListener(near, () => this.session.prefill(text));
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
    this.#question.setCustomValidity(this.session.picture ? "" : "Choose a picture first.");
    this.#question.reportValidity();
    if (this.#send.disabled || !question) return;
    clearTimeout(this.#timer);
    this.#question.value = "";
    this.session.ask(question);
  }

  #render() {
    const { picture, conversation, activity } = this.session;
    const { loaded, phase } = activity;
    const encoded = loaded && Boolean(picture?.seen);
    // A question typed before the picture was encoded is prefilled now.
    const typed = encoded && !this.#encoded ? this.#question.value.trim() : "";
    this.#encoded = encoded;
    if (typed) this.session.prefill(typed);
    // A question may be sent while the picture is being encoded; it waits for the encoding.
    this.#send.disabled = !loaded || !picture || this.#answering;
    this.#send.title = picture ? "" : "Choose a picture first";
    this.#stop.disabled = !(this.#answering || phase === "encoding");
    this.#regenerate.disabled = !loaded || !conversation.last || this.#answering || !picture;
    for (const button of this.#suggestions.children) {
      if (button instanceof HTMLButtonElement) button.disabled = this.#send.disabled;
    }
  }
}
