const SPACE = 0x20;
const TAB = 0x09;

/**
 * The text without the spaces and tabs around it (OWS of RFC 9110 §5.6.3). No regular expression: one that looks for blanks at
 * the end tries each run of them from each of its positions, so a header of 16 KiB of blanks would stop the server for a second.
 */
export function withoutBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}
