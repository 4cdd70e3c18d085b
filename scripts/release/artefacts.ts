/** The list of a release for people: a table in Markdown. */

export interface Artefact {
  readonly file: string;
  readonly bytes: number;
  /** In hexadecimal digits. */
  readonly sha256: string;
}

export function artefactTable(version: string, artefacts: readonly Artefact[]): string {
  const rows = artefacts.map(({ file, bytes, sha256 }) => `| \`${file}\` | ${sizeText(bytes)} | \`${sha256}\` |\n`);
  return `# coder ${version}\n\n| File | Size | SHA-256 |\n|---|---:|---|\n${rows.join("")}`;
}

export function sizeText(bytes: number): string {
  return bytes < 1_000_000 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
