/** Times, durations and counts in words. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A time relative to now, in one unit: "just now", "5 min ago", "3 h ago", "12 days ago", or "in 5 min". */
export function ago(atMs: number, nowMs: number): string {
  const seconds = Math.round((nowMs - atMs) / 1000);
  const length = Math.abs(seconds);
  // The clocks of browser and server may differ by seconds.
  if (length < 45) return "just now";
  const text = span(length);
  return seconds >= 0 ? `${text} ago` : `in ${text}`;
}

export function span(seconds: number): string {
  if (seconds < 90 * MINUTE) return `${Math.max(1, Math.round(seconds / MINUTE))} min`;
  if (seconds < 36 * HOUR) return `${Math.round(seconds / HOUR)} h`;
  return `${Math.round(seconds / DAY)} days`;
}

export function milliseconds(value: number): string {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** A time such as "14:03", formatted for the browser's language. */
export function clockTime(atMs: number): string {
  return new Date(atMs).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

export function capital(word: string): string {
  return word.slice(0, 1).toUpperCase() + word.slice(1);
}

/** Makes foreign text visible: control characters, and marks that change the direction of text, are shown as symbols. */
export function visible(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (character) => {
      const code = character.codePointAt(0) ?? 0;
      if (code < 0x20) return String.fromCodePoint(0x2400 + code);
      if (code === 0x7f) return "\u2421";
      return `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
    },
  );
}
