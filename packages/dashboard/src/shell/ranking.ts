export interface Choice {
  readonly label: string;
  readonly path: string;
}

/**
 * Choices that contain the letters of `text` in order: matches at the beginning of words first, then those with short gaps,
 * otherwise in the given order.
 */
export function ranked<C extends Choice>(choices: readonly C[], text: string): C[] {
  const letters = text.toLowerCase().replace(/\s+/g, "");
  if (letters === "") return [...choices];
  return choices
    .flatMap((choice) => {
      const cost = costOf(choice.label.toLowerCase(), letters);
      return cost === undefined ? [] : [{ choice, cost }];
    })
    .sort((one, other) => one.cost - other.cost)
    .map(({ choice }) => choice);
}

function costOf(label: string, letters: string): number | undefined {
  let at = -1;
  let cost = 0;
  for (const letter of letters) {
    const next = label.indexOf(letter, at + 1);
    if (next < 0) return undefined;
    const beginsWord = next === 0 || !/[a-z0-9]/.test(label[next - 1] ?? "");
    if (next !== at + 1) cost += beginsWord ? 1 : 2 + next - at;
    at = next;
  }
  return cost + label.length / 100;
}
