/** Writes docs/security.md: each statement and the tests that prove it. */
import type { Proof } from "./proofs.ts";
import { CHAPTERS, OPEN } from "./statements.ts";

const HEAD = `# Security

This page states what the system promises, and names the tests that prove it.
A test proves statement N when its title, or the title of its group, begins with \`security N:\`.
\`node scripts/generate-docs.ts\` writes this page from the sources; a test fails when it is out of date, and when a statement has no test and is not marked as open.

Tests below \`test/interop\` and \`test/natlab\` need programs or rights that not every machine has, and name what they miss.

[SECURITY.md](../SECURITY.md) explains how to report a vulnerability.
`;

export function securityPage(proofs: readonly Proof[]): string {
  const chapters = CHAPTERS.map(({ title, statements }) => {
    const parts = statements.map(({ number, text, note }) => {
      const own = proofs.filter((proof) => proof.numbers.includes(number));
      const files = [...new Set(own.map((proof) => proof.file))];
      const list = files.map((file) => {
        const titles = own.filter((proof) => proof.file === file).map((proof) => `  - ${plain(proof.title)}`);
        return [`- [${file}](../${file})`, ...titles].join("\n");
      });
      const tests = list.length === 0 && OPEN.includes(number) ? ["Open: no test proves this yet."] : list;
      return [`### ${number}`, text, ...(note === undefined ? [] : [note]), tests.join("\n")].join("\n\n");
    });
    return [`## ${title}`, ...parts].join("\n\n");
  });
  return `${[HEAD.trimEnd(), ...chapters].join("\n\n")}\n`;
}

/** Escapes text so that Markdown shows it unchanged. */
function plain(text: string): string {
  return text.replaceAll(/[\\`*_{}[\]<>#|]/g, "\\$&");
}
