/** PostgreSQL stores no NUL in a text; the symbol for it takes its place, in both databases. */
export function withoutNul(text: string): string {
  return text.includes("\0") ? text.replaceAll("\0", "\u2400") : text;
}
