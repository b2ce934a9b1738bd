// The dialog "Export…": saves the conversation as a file.

import { exportConversation, toMarkdown } from "./conversation-export.js";
import { byId, make } from "./dom.js";

/** @typedef {import("./session.js").Session} Session */

/** Time after which the address of a saved file is revoked, ms: browsers read it after the click. */
const ADDRESS_LIFE = 60_000;

/** Saves a file, as a download. @param {string} text @param {string} type @param {string} name */
function saveFile(text, type, name) {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), ADDRESS_LIFE);
}

export class ExportDialog {
  #dialog = byId("export", HTMLDialogElement);
  #form = byId("export-form", HTMLFormElement);
  #open = byId("open-export", HTMLButtonElement);

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    session.activity.addEventListener("change", () => {
      this.#open.disabled = !session.conversation.turns.length;
    });
    this.#open.addEventListener("click", () => {
      this.#dialog.returnValue = "";
      this.#dialog.showModal();
    });
    this.#dialog.addEventListener("close", () => {
      if (this.#dialog.returnValue === "save") this.#save();
    });
  }

  async #save() {
    const fields = new FormData(this.#form);
    try {
      const exported = await exportConversation(this.session, fields.has("pictures"));
      const name = `conversation-${exported.date.slice(0, 16).replace(/[T:]/g, "-")}`;
      if (fields.get("format") === "json") saveFile(JSON.stringify(exported, null, 1), "application/json", `${name}.json`);
      else saveFile(toMarkdown(exported), "text/markdown", `${name}.md`);
    } catch (thrown) {
      this.session.activity.showError(thrown, "export", () => this.#save());
    }
  }
}
