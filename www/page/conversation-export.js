// The conversation as a file: Markdown to read, or JSON with everything that a program needs to ask the same again.

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {{ name: string, type: string, bytes: number, sha256: string | null, data?: string }} ExportedPicture */

/** Returns the bytes of a picture as a data URL. @param {Blob} blob @returns {Promise<string>} */
function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** @param {Picture} picture @param {boolean} withData @returns {Promise<ExportedPicture>} */
async function exportPicture({ blob, name }, withData) {
  const bytes = await blob.arrayBuffer();
  // Outside a secure context there is no hash.
  const hash = await crypto.subtle?.digest("SHA-256", bytes);
  const sha256 = hash ? [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("") : null;
  return { name, type: blob.type, bytes: blob.size, sha256, ...(withData && { data: await dataUrl(blob) }) };
}

/** Returns the conversation as a value for JSON. @param {Session} session @param {boolean} withPictures */
export async function exportConversation({ conversation, loading, settings }, withPictures) {
  const turns = [];
  for (const { question, pictures, answer, state, result } of conversation.turns) {
    const shown = await Promise.all(pictures.map((picture) => exportPicture(picture, withPictures)));
    turns.push({ question, pictures: shown, answer, state, tokens: result?.usage.completion_tokens ?? 0, stop: result?.stop_reason ?? null });
  }
  const { plan, report, model } = loading;
  const source = "addresses" in model ? { addresses: model.addresses } : {};
  return {
    format: "llava-web conversation",
    version: 2,
    date: new Date().toISOString(),
    model: { name: plan?.name ?? "", ...source, parameters: report?.parameters, backend: report?.backend, context: report?.context },
    settings: settings().generate,
    turns,
  };
}

/** Returns text that Markdown shows as it is, in one line. @param {string} text */
const literal = (text) => text.replace(/\s+/g, " ").replace(/[\\`*_[\]<>#|]/g, "\\$&");

/** Returns the conversation as Markdown. @param {Awaited<ReturnType<typeof exportConversation>>} exported */
export function toMarkdown({ model, date, turns }) {
  const parts = [`# A conversation with ${literal(model.name)}`, `${date.slice(0, 10)}, on the person's own machine`];
  for (const { question, pictures, answer } of turns) {
    parts.push("---");
    for (const { name, sha256, data } of pictures) parts.push(data ? `![${literal(name)}](${data})` : `*Picture: ${literal(name)}${sha256 ? ` (SHA-256 ${sha256})` : ""}*`);
    // A question is plain text; an answer is Markdown already.
    parts.push(question.split("\n").map((line) => `> ${literal(line)}`).join("\n>\n"), answer || "*(no answer)*");
  }
  return `${parts.join("\n\n")}\n`;
}
