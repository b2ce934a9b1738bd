// Takes a photo, where the machine has a camera. The stream ends with the dialog.

import { byId } from "./dom.js";

/** Requested width of a photo, px; the model uses far fewer pixels. */
const IDEAL_WIDTH = 1280;

export class Camera {
  #dialog = byId("camera", HTMLDialogElement);
  #view = byId("camera-view", HTMLVideoElement);
  #note = byId("camera-note", HTMLElement);
  #take = byId("camera-take", HTMLButtonElement);

  /** @param {(photo: Blob, name: string) => void} onPhoto */
  constructor(onPhoto) {
    const open = byId("open-camera", HTMLButtonElement);
    open.hidden = !navigator.mediaDevices?.getUserMedia;
    open.addEventListener("click", () => this.#open());
    byId("camera-cancel", HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", () => this.#stopStream());
    this.#take.addEventListener("click", () => {
      const canvas = document.createElement("canvas");
      canvas.width = this.#view.videoWidth;
      canvas.height = this.#view.videoHeight;
      canvas.getContext("2d")?.drawImage(this.#view, 0, 0);
      canvas.toBlob((blob) => blob && onPhoto(blob, "your photo"), "image/png");
      this.#dialog.close();
    });
  }

  async #open() {
    this.#take.disabled = true;
    this.#note.textContent = "The photo stays on this machine.";
    this.#dialog.showModal();
    try {
      const video = { facingMode: "environment", width: { ideal: IDEAL_WIDTH } };
      const stream = await navigator.mediaDevices.getUserMedia({ video });
      if (!this.#dialog.open) return stream.getTracks().forEach((track) => track.stop());
      this.#view.srcObject = stream;
      await this.#view.play();
      this.#take.disabled = false;
    } catch (thrown) {
      const denied = thrown instanceof DOMException && thrown.name === "NotAllowedError";
      this.#note.textContent = denied
        ? "The browser was not allowed to use the camera. Allow it in the address bar, then try again."
        : "No camera was found.";
    }
  }

  #stopStream() {
    const stream = this.#view.srcObject;
    if (stream instanceof MediaStream) stream.getTracks().forEach((track) => track.stop());
    this.#view.srcObject = null;
  }
}
