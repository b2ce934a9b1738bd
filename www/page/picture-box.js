// The large picture, the pictures of the next question, and the field that chooses files.

import { byId, make } from "./dom.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./types.js").Picture} Picture */

export class PictureBox {
  #frame = byId("frame", HTMLElement);
  #image = byId("picture", HTMLImageElement);
  #caption = byId("picture-caption", HTMLElement);
  #invitation = byId("invitation", HTMLElement);
  #input = byId("image-input", HTMLInputElement);
  #tray = byId("tray", HTMLElement);
  #note = byId("tray-note", HTMLElement);
  /** Pictures in the tray, with their addresses. */
  #shown = "";

  /**
   * @param {Session} session
   * @param {(file: Blob, name: string) => void} onPicture
   */
  constructor(session, onPicture) {
    this.session = session;
    session.activity.addEventListener("change", () => this.#render());
    session.activity.addEventListener("progress", () => this.#renderProgress());
    this.#input.addEventListener("change", () => {
      const files = [...(this.#input.files ?? [])];
      // Clears the field, so that the same file may be chosen again.
      this.#input.value = "";
      for (const file of files) onPicture(file, file.name);
    });
    this.#image.addEventListener("load", () => {
      const { naturalWidth, naturalHeight } = this.#image;
      this.#image.style.setProperty("--ratio", String(naturalWidth / naturalHeight || 1));
    });
    // The engine may read a picture that the browser cannot show.
    this.#image.addEventListener("error", () => {
      this.#image.alt = "This browser cannot show the picture.";
    });
  }

  /** @param {Picture | null} picture */
  #state(picture) {
    const { activity, memory, conversation } = this.session;
    if (!picture) return "empty";
    if (activity.phase === "encoding" && memory.encoding === picture) return "reading";
    if (picture.seen) return "read";
    // The pictures of answered questions are given to the engine again when the next question needs them.
    return conversation.answered.some(({ pictures }) => pictures.includes(picture)) ? "kept" : "unread";
  }

  #render() {
    const { picture } = this.session;
    this.#frame.dataset.state = this.#state(picture);
    this.#image.hidden = !picture;
    this.#invitation.hidden = Boolean(picture);
    if (picture && this.#image.src !== picture.url) {
      this.#image.src = picture.url;
      this.#image.alt = picture.name;
    }
    this.#caption.textContent = picture ? `The picture: ${picture.name}` : "No picture yet";
    this.#renderTray();
    this.#renderProgress();
  }

  #renderTray() {
    const { attached } = this.session.conversation;
    this.#note.textContent = attached.length ? `${attached.length > 1 ? "Go" : "Goes"} with your next question` : this.session.picture ? "A new picture goes with your next question" : "The pictures of your next question appear here";
    const shown = attached.map(({ url }) => url).join();
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#tray.replaceChildren(...attached.map((picture) => this.#thumbnail(picture)));
  }

  /** @param {Picture} picture */
  #thumbnail(picture) {
    const image = make("img");
    Object.assign(image, { src: picture.url, alt: picture.name });
    const remove = make("button", { class: "remove", text: "×", "aria-label": `Remove the picture ${picture.name}` });
    remove.type = "button";
    remove.addEventListener("click", () => {
      this.session.detach(picture);
      const next = this.#tray.querySelector("button") ?? byId("question", HTMLElement);
      next.focus({ preventScroll: true });
    });
    return make("span", { class: "thumbnail" }, image, remove);
  }

  /** Uncovers the encoded patches, from the top. */
  #renderProgress() {
    const { picture, activity } = this.session;
    const { phase, progress } = activity;
    let encoded = picture?.seen ? 1 : 0;
    if (phase === "encoding" && progress?.type === "encode" && progress.total) encoded = progress.done / progress.total;
    this.#frame.style.setProperty("--read", String(encoded));
  }
}
