export interface Choice {
  readonly label: string;
  readonly path: string;
}

/** Choices that hold the letters of `text` in order: beginnings of words first, then short gaps; else as they were given. */
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
