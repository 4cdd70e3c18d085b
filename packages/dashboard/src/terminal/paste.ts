/** What a paste sends to the program. */

/** Largest text in one message of the terminal's WebSocket. */
const MAX_PIECE = 32 * 1024;
const MANY_LINES = 5;
const MANY_CHARACTERS = 2_000;

/**
 * The text as keys: line ends become Enter, and nothing in it is a control sequence. With bracketed paste the text is between two
 * marks and cannot end them early, because ESC and the C1 controls are removed.
 */
export function pasteKeys(text: string, bracketed: boolean): string {
  const keys = text.replace(/\r?\n/g, "\r").replace(/[\u001b\u0080-\u009f]/g, "");
  return bracketed ? `\u001b[200~${keys}\u001b[201~` : keys;
}

/** Whether to ask the user: without bracketed paste, a shell runs each line as it arrives. */
export function isRiskyPaste(text: string, bracketed: boolean): boolean {
  if (bracketed) return false;
  return text.trimEnd().split(/\r\n|\r|\n/).length > MANY_LINES || text.length > MANY_CHARACTERS;
}

/** Splits text into pieces that each fit a message, without cutting a character. */
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
