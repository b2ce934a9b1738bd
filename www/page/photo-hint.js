// Says so when the small model is shown a photograph, which it does not understand, and offers one that does.

import { HEAD_BYTES, SAMPLE_SIDE, isPhotograph } from "./photo-rule.js";
import { byId } from "./dom.js";
import { formatBytes } from "./format.js";

/** @typedef {import("./offers.js").Offers} Offers */
/** @typedef {import("./session.js").Session} Session */

/** Colour by which a canvas is tested: browsers that guard against fingerprinting read back noise. */
const TEST_COLOUR = [16, 80, 144];

/** Returns the pixels of a small copy of a picture; `null` where they cannot be read. @param {HTMLImageElement} image */
function sample(image) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SAMPLE_SIDE;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return null;
  try {
    context.fillStyle = `rgb(${TEST_COLOUR})`;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
    if (String([r, g, b]) !== String(TEST_COLOUR)) return null;
    context.imageSmoothingEnabled = false;
    context.fillStyle = "white";
    context.fillRect(0, 0, SAMPLE_SIDE, SAMPLE_SIDE);
    context.drawImage(image, 0, 0, SAMPLE_SIDE, SAMPLE_SIDE);
    return context.getImageData(0, 0, SAMPLE_SIDE, SAMPLE_SIDE).data;
  } catch {
    return null;
  }
}

export class PhotoHint {
  #box = byId("photo-hint", HTMLElement);
  #button = byId("photo-model", HTMLButtonElement);
  #image = byId("picture", HTMLImageElement);
  /** Address of the picture that is a photograph; empty where the shown one is none. */
  #photograph = "";

  /** @param {Session} session @param {() => boolean} isShipped @param {Offers} offers */
  constructor(session, isShipped, offers) {
    this.session = session;
    this.isShipped = isShipped;
    this.offers = offers;
    this.#image.addEventListener("load", () => this.#look());
    session.activity.addEventListener("change", () => this.#render());
    this.#button.addEventListener("click", () => {
      const [smallest] = offers.suitable;
      if (smallest) offers.onOffer(smallest);
    });
  }

  async #look() {
    const { picture } = this.session;
    const rgba = sample(this.#image);
    if (!picture || !rgba) return;
    const head = new Uint8Array(await picture.blob.slice(0, HEAD_BYTES).arrayBuffer());
    const pixels = this.#image.naturalWidth * this.#image.naturalHeight;
    this.#photograph = isPhotograph({ rgba, head, pixels }) ? picture.url : "";
    this.#render();
  }

  #render() {
    const { picture } = this.session;
    const [smallest] = this.offers.suitable;
    this.#box.hidden = !picture || picture.url !== this.#photograph || !this.isShipped();
    this.#button.hidden = !smallest;
    if (smallest) this.#button.textContent = `Get ${smallest.model.name} (${formatBytes(smallest.bytes)}), which knows photographs`;
  }
}
