// A button that copies text to the clipboard.

import { byId, make } from "./dom.js";

/** Time for which the button says that it has copied, ms. */
const CONFIRMATION = 2000;

/**
 * Creates the button. Its visible words come from the style: the text of an answer holds no button.
 * @param {string} label for screen readers @param {() => string} text called at each click
 */
export function copyButton(label, text) {
  const button = make("button", { class: "copy quiet small", "aria-label": label });
  button.type = "button";
  // Without a secure context there is no clipboard.
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    const copied = await navigator.clipboard.writeText(text()).then(() => true, () => false);
    button.dataset.state = copied ? "copied" : "refused";
    byId("announcer", HTMLElement).textContent = copied ? "Copied." : "The browser did not allow copying.";
    setTimeout(() => delete button.dataset.state, CONFIRMATION);
  });
  return button;
}
