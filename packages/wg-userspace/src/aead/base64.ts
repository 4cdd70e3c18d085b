const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Decodes standard base64 with padding. For text of our own: throws on anything else. */
export function base64Decode(text: string): Uint8Array {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const out = new Uint8Array((text.length / 4) * 3 - padding);
  let at = 0;
  for (let i = 0; i < text.length; i += 4) {
    let bits = 0;
    for (let j = 0; j < 4; j++) {
      const character = text[i + j]!;
      const value = character === "=" ? 0 : ALPHABET.indexOf(character);
      if (value < 0) throw new TypeError("not base64");
      bits = (bits << 6) | value;
    }
    for (let shift = 16; shift >= 0 && at < out.length; shift -= 8) out[at++] = (bits >> shift) & 255;
  }
  return out;
}
