/** Replaces NUL, which PostgreSQL cannot store in a text, by its symbol; in both databases. */
export function withoutNul(text: string): string {
  return text.includes("\0") ? text.replaceAll("\0", "\u2400") : text;
}

/**
 * The text that a database stores for this one: without NUL, and with a replacement character for half a surrogate pair, which UTF-8
 * cannot express.
 */
export function storableText(text: string): string {
  return withoutNul(text.toWellFormed());
}
