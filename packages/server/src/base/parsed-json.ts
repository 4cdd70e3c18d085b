/** Parses JSON from an untrusted source; undefined if the text is not JSON, which every schema refuses. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
