// The picture in its frame, and the buttons that choose and remove it.

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
    session.activity.addEventListener("change", () => this.#render());
    session.activity.addEventListener("progress", () => this.#renderProgress());
    this.#remove.addEventListener("click", () => session.removePicture());
    this.#input.addEventListener("change", () => {
      const file = this.#input.files?.[0];
      if (file) onPicture(file, file.name);
      // Clears the field, so that the same file may be chosen again.
      this.#input.value = "";
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

  #render() {
    const { picture, activity } = this.session;
    this.#frame.dataset.state = !picture ? "empty" : activity.phase === "encoding" ? "reading" : picture.seen ? "read" : "unread";
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

  /** Uncovers the encoded patches, from the top. */
  #renderProgress() {
    const { picture, activity } = this.session;
    const { phase, progress } = activity;
    let encoded = picture?.seen ? 1 : 0;
    if (phase === "encoding" && progress?.type === "encode" && progress.total) encoded = progress.done / progress.total;
    this.#frame.style.setProperty("--read", String(encoded));
  }
}
