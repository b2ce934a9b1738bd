// The form for questions, and the buttons that act on the conversation. It also edits a question asked before.

import { byId, make } from "./dom.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./types.js").Turn} Turn */
/** A question that is being edited: the text that was typed before, and the element that gets the focus back.
 * @typedef {{ turn: Turn, typed: string, from: HTMLElement }} Editing */

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
  #hint = byId("composer-hint", HTMLElement);
  #cancelEdit = byId("cancel-edit", HTMLButtonElement);
  #timer = 0;
  /** @type {Editing | null} */
  #editing = null;

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    session.activity.addEventListener("change", () => this.#render());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    this.#question.addEventListener("keydown", (event) => this.#onKey(event));
    this.#question.addEventListener("input", () => {
      clearTimeout(this.#timer);
      // An edited question follows fewer turns than the engine holds: it is not prefilled.
      if (!this.#editing) this.#timer = setTimeout(() => session.prefill(this.#question.value.trim()), TYPING_PAUSE);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
      if (this.#editing) this.#endEdit();
      else session.stop();
    });
    this.#cancelEdit.addEventListener("click", () => this.#endEdit());
    this.#stop.addEventListener("click", () => {
      session.stop();
      this.#question.focus();
    });
    this.#regenerate.addEventListener("click", () => session.regenerate());
    byId("new-chat", HTMLButtonElement).addEventListener("click", () => {
      session.newConversation();
      this.#question.focus();
    });
    this.#render();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    // A key that confirms a word of an input method does nothing else. Safari sends such an Enter after the end of the
    // composition, with the key code of an input method.
    if (event.shiftKey || event.isComposing || event.keyCode === IME_KEY_CODE) return;
    const { last } = this.session.conversation;
    if (event.key === "Enter") this.#ask();
    else if (event.key === "ArrowUp" && !this.#question.value && last && !this.#editing) this.edit(last, this.#question);
    else return;
    event.preventDefault();
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
      for (const near of ["pointerenter", "focus"]) {
        button.addEventListener(near, () => {
          if (!this.#editing) this.session.prefill(text);
        });
      }
      return button;
    });
    this.#suggestions.replaceChildren(...buttons);
    this.#render();
  }

  /** Brings a question back for editing. @param {Turn} turn @param {HTMLElement} from gets the focus after a cancel */
  edit(turn, from) {
    clearTimeout(this.#timer);
    const typed = this.#editing ? this.#editing.typed : this.#question.value;
    this.#editing = { turn, typed, from };
    this.#question.value = turn.question;
    this.#question.focus();
    this.#question.setSelectionRange(turn.question.length, turn.question.length);
    this.#render();
  }

  #endEdit() {
    const { typed = "", from } = this.#editing ?? {};
    this.#editing = null;
    this.#question.value = typed;
    from?.focus({ preventScroll: true });
    this.#render();
  }

  get #answering() {
    return this.session.conversation.last?.state === "streaming";
  }

  #ask() {
    const question = this.#question.value.trim();
    if (this.#send.disabled || !question) return;
    clearTimeout(this.#timer);
    const editing = this.#editing;
    this.#editing = null;
    this.#question.value = editing?.typed ?? "";
    if (editing) this.session.edit(editing.turn, question);
    else this.session.ask(question);
  }

  /** What the person should know before the question is sent. */
  #advice() {
    const { conversation, loading } = this.session;
    if (this.#editing) return "Editing a question: its answer and all that follows are replaced. Escape cancels.";
    const pictures = conversation.pictures.length;
    if (!pictures) return `No picture: the model answers from the text alone${loading.model === this.session.shipped ? "; it was trained with pictures only" : ""}.`;
    if (pictures < 2 || loading.plan?.several_pictures) return "";
    return "Models like this one were trained with one picture; with more, answers get worse.";
  }

  #render() {
    const { conversation, activity } = this.session;
    const { loaded, phase } = activity;
    // The question that is being edited may have been removed.
    if (this.#editing && !conversation.turns.includes(this.#editing.turn)) this.#endEdit();
    // A question may be sent while a picture is being encoded; it waits for the encoding.
    this.#send.disabled = !loaded || this.#answering;
    this.#send.textContent = this.#editing ? "Ask again" : "Ask";
    this.#stop.disabled = !(this.#answering || phase === "encoding");
    this.#regenerate.disabled = !loaded || !conversation.last || this.#answering;
    this.#cancelEdit.hidden = !this.#editing;
    this.#regenerate.hidden = Boolean(this.#editing);
    const advice = this.#advice();
    if (this.#hint.textContent !== advice) this.#hint.textContent = advice;
    for (const button of this.#suggestions.children) {
      if (button instanceof HTMLButtonElement) button.disabled = this.#send.disabled;
    }
  }
}
