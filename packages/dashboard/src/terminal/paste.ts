/** What a paste sends to the program. */

/** One message of the terminal's WebSocket holds no more than this. */
const MAX_PIECE = 32 * 1024;
const MANY_LINES = 5;
const MANY_CHARACTERS = 2_000;

/**
 * The text as keys: line ends are Enter, and nothing in it is a control sequence. With bracketed paste the text stands
 * between two marks, and cannot end them early: ESC and the C1 controls are removed.
 */
export function pasteKeys(text: string, bracketed: boolean): string {
  const keys = text.replace(/\r?\n/g, "\r").replace(/[\u001b\u0080-\u009f]/g, "");
  return bracketed ? `\u001b[200~${keys}\u001b[201~` : keys;
}

/** Whether a person should be asked: without bracketed paste a shell runs each line as it comes. */
export function isRiskyPaste(text: string, bracketed: boolean): boolean {
  if (bracketed) return false;
  return text.trimEnd().split(/\r\n|\r|\n/).length > MANY_LINES || text.length > MANY_CHARACTERS;
}

/** Pieces that each fit a message; no character is cut in two. */
export function pieces(text: string): string[] {
  const found: string[] = [];
  for (let start = 0; start < text.length; ) {
    let end = Math.min(text.length, start + MAX_PIECE);
    const last = text.charCodeAt(end - 1);
    if (end < text.length && last >= 0xd800 && last < 0xdc00) end--;
    found.push(text.slice(start, end));
    start = end;
  }
  return found;
}
