/** Rates how long a password withstands guessing, by its length and kinds of characters. */
export function strength(password: string): "weak" | "fair" | "good" | "strong" {
  const kinds = [/[a-z]/, /[A-Z]/, /[0-9]/, /[^a-zA-Z0-9]/].filter((kind) => kind.test(password)).length;
  const distinct = new Set(password).size;
  const score = Math.min(password.length, distinct * 2) + kinds * 2;
  if (score < 14) return "weak";
  if (score < 18) return "fair";
  return score < 24 ? "good" : "strong";
}
