/** The documents of this repository that code cites: `docs/….md`, `decision NNN`, `security statement N`. Pure. */

/** Patterns of paths from the root, one for each citation. */
export function documentsIn(code: string): string[] {
  const pages = code.match(/(?<![\w/.@-])docs\/[\w/-]+\.md\b/g) ?? [];
  const decisions = [...code.matchAll(/\bdecisions? (\d{3})\b/g)].map(([, number]) => `docs/decisions/${number}-*.md`);
  return [...new Set([...pages, ...decisions])];
}

export function statementsIn(code: string): string[] {
  return [...new Set([...code.matchAll(/\bstatement ([SR]?\d+)\b/g)].map(([, id]) => id!))];
}
