const MAX_BYTES = 100 * 1024;

/**
 * The text that OSC 52 puts into the clipboard. Undefined if it queries the clipboard, names another selection, is too long, or
 * is no text. `data` is what follows `52;`.
 */
export function clipboardWrite(data: string): string | undefined {
  const at = data.indexOf(";");
  if (at < 0) return undefined;
  const selection = data.slice(0, at);
  const encoded = data.slice(at + 1);
  if (selection !== "" && !selection.includes("c")) return undefined;
  if (encoded === "" || encoded === "?" || encoded.length > Math.ceil(MAX_BYTES / 3) * 4) return undefined;
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) return undefined;
  try {
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined; // not base64, or not UTF-8
  }
}
