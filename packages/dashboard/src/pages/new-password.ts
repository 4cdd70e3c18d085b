/** 120 bits, in letters that are hard to confuse. */
export function newPassword(): string {
  const letters = "abcdefghijkmnpqrstuvwxyz23456789";
  return [...crypto.getRandomValues(new Uint8Array(24))].map((byte) => letters[byte % letters.length]).join("");
}
