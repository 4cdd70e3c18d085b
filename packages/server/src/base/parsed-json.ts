/** The value of JSON from elsewhere; undefined where the text is none, which every schema refuses. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
