// The picture in its mat, and the button that puts one there.

import { byId } from "./dom.js";

/** @typedef {import("./session.js").Session} Session */

export class PictureBox {
  #frame = byId("frame", HTMLElement);
  #image = byId("picture", HTMLImageElement);
  #caption = byId("picture-caption", HTMLElement);
  #invitation = byId("invitation", HTMLElement);
  #input = byId("image-input", HTMLInputElement);
  #remove = byId("remove-picture", HTMLButtonElement);

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
    this.#image.addEventListener("load", () => {
      const { naturalWidth, naturalHeight } = this.#image;
      this.#image.style.setProperty("--ratio", String(naturalWidth / naturalHeight || 1));
    });
    // What the browser cannot show the engine may still read.
    this.#image.addEventListener("error", () => {
      this.#image.alt = "This browser cannot show the picture.";
    });
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
