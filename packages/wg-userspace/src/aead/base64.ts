const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const NO_DIGIT = 255;

/** Decodes standard base64 with padding; throws on anything else, since it is meant for text of our own. */
export function base64Decode(text: string): Uint8Array {
  if (text.length % 4 !== 0) throw new TypeError("not base64");
  const digits = new Uint8Array(128).fill(NO_DIGIT);
  for (let i = 0; i < ALPHABET.length; i++) digits[ALPHABET.charCodeAt(i)] = i;
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const out = new Uint8Array((text.length / 4) * 3 - padding);
  const end = text.length - padding;
  let at = 0;
  for (let i = 0; i < text.length; i += 4) {
    let bits = 0;
    for (let j = i; j < i + 4; j++) {
      const digit = j < end ? (digits[text.charCodeAt(j)] ?? NO_DIGIT) : 0;
      if (digit === NO_DIGIT) throw new TypeError("not base64");
      bits = (bits << 6) | digit;
    }
    for (let shift = 16; shift >= 0 && at < out.length; shift -= 8) out[at++] = (bits >> shift) & 255;
  }
  return out;
}
