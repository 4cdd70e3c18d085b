/** UTF-8 without TextDecoder, which a core does not have. Anything malformed becomes U+FFFD. */
export function decodeUtf8(bytes: Uint8Array, offset: number, length: number): string {
  const end = offset + length;
  let text = "";
  let at = offset;
  while (at < end) {
    const first = bytes[at++]!;
    if (first < 0x80) {
      text += String.fromCharCode(first);
      continue;
    }
    const more =
      first >= 0xf0 && first <= 0xf4 ? 3 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xc2 && first < 0xe0 ? 1 : 0;
    let code = more === 3 ? first & 7 : more === 2 ? first & 15 : first & 31;
    let taken = 0;
    while (taken < more && at + taken < end && (bytes[at + taken]! & 0xc0) === 0x80) {
      code = (code << 6) | (bytes[at + taken]! & 63);
      taken++;
    }
    const tooShort = code < (more === 3 ? 0x10000 : more === 2 ? 0x800 : 0x80);
    const surrogate = code >= 0xd800 && code < 0xe000;
    if (more === 0 || taken < more || tooShort || surrogate || code > 0x10ffff) {
      text += "\ufffd";
    } else {
      text += String.fromCodePoint(code);
      at += taken;
    }
  }
  return text;
}
