const MAX_LENGTH = 120;

/** A program's title as plain text, without control characters and direction marks, and limited in length. */
export function plainTitle(text: string): string {
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "").trim();
  return [...plain].slice(0, MAX_LENGTH).join("");
}

/** Title of the browser tab. It is marked if a program asked for attention while the tab was hidden. */
export function tabTitle(title: string, workspace: string, marked: boolean): string {
  return `${marked ? "● " : ""}${title === "" ? "Terminal" : title} · ${workspace} · Coder`;
}
