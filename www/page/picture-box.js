// The picture in its mat, and every way a picture gets there: drop, paste, file.

import { byId } from "./dom.js";

/** @typedef {import("./session.js").Session} Session */

export class PictureBox {
  #frame = byId("frame", HTMLElement);
  #image = byId("picture", HTMLImageElement);
  #caption = byId("picture-caption", HTMLElement);
  #invitation = byId("invitation", HTMLElement);
  #input = byId("image-input", HTMLInputElement);
  #remove = byId("remove-picture", HTMLButtonElement);
  #veil = byId("drop-veil", HTMLElement);

  /**
   * @param {Session} session
   * @param {(file: Blob, name: string) => void} onPicture
   */
  constructor(session, onPicture) {
    this.session = session;
    this.onPicture = onPicture;
    session.addEventListener("change", () => this.#render());
    session.addEventListener("progress", () => this.#renderProgress());
    this.#remove.addEventListener("click", () => session.removePicture());
    this.#input.addEventListener("change", () => {
      const file = this.#input.files?.[0];
      if (file) onPicture(file, file.name);
      // The same file may be chosen again.
      this.#input.value = "";
    });
    // What the engine cannot read may still be shown, and the other way round: the engine's word counts.
    this.#image.addEventListener("error", () => {
      this.#image.alt = "This browser cannot show the picture.";
    });
    this.#acceptDrops();
    document.addEventListener("paste", (event) => this.#accept(event, event.clipboardData));
  }

  #acceptDrops() {
    let depth = 0;
    /** @param {DragEvent} event */
    const carriesFile = (event) => event.dataTransfer?.types.includes("Files") ?? false;
    window.addEventListener("dragenter", (event) => {
      if (!carriesFile(event)) return;
      depth += 1;
      this.#veil.hidden = false;
    });
    window.addEventListener("dragleave", (event) => {
      if (carriesFile(event)) depth = Math.max(0, depth - 1);
      this.#veil.hidden = depth === 0;
    });
    // Without this the browser leaves the page for the dropped file.
    window.addEventListener("dragover", (event) => {
      if (carriesFile(event)) event.preventDefault();
    });
    window.addEventListener("drop", (event) => {
      depth = 0;
      this.#veil.hidden = true;
      this.#accept(event, event.dataTransfer);
    });
  }

  /** @param {Event} event @param {DataTransfer | null} data */
  #accept(event, data) {
    const files = [...(data?.files ?? [])];
    const file = files.find((file) => file.type.startsWith("image/")) ?? files[0];
    if (!file) return;
    event.preventDefault();
    this.onPicture(file, file.name);
  }

  #render() {
    const { picture, phase } = this.session;
    this.#frame.dataset.state = !picture ? "empty" : phase === "encoding" ? "reading" : picture.seen ? "read" : "unread";
    this.#image.hidden = !picture;
    this.#invitation.hidden = Boolean(picture);
    this.#remove.hidden = !picture;
    if (picture && this.#image.src !== picture.url) {
      this.#image.src = picture.url;
      this.#image.alt = picture.name;
    }
    this.#caption.textContent = picture ? `The picture: ${picture.name}` : "No picture yet";
    this.#renderProgress();
  }

  /** Patches already read lose their veil, from the top. */
  #renderProgress() {
    const { phase, progress, picture } = this.session;
    let read = picture?.seen ? 1 : 0;
    if (phase === "encoding" && progress?.type === "encode" && progress.total) read = progress.done / progress.total;
    this.#frame.style.setProperty("--read", String(read));
  }
}
