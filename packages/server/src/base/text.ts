/** Replaces NUL, which PostgreSQL cannot store in a text, by its symbol; in both databases. */
export function withoutNul(text: string): string {
  return text.includes("\0") ? text.replaceAll("\0", "\u2400") : text;
}
