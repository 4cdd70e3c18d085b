/**
 * What a machine can check in Markdown: links, paths of the repository, one sentence a line. Pure, except for looking up files.
 */

export interface Line {
  readonly number: number;
  readonly text: string;
}

/** The lines outside of code blocks, comments and generated tables. */
export function proseLines(markdown: string): Line[] {
  const lines: Line[] = [];
  let skipTo: RegExp | undefined;
  for (const [at, text] of markdown.split("\n").entries()) {
    if (skipTo !== undefined) {
      if (skipTo.test(text)) skipTo = undefined;
      continue;
    }
    const fence = /^\s*(`{3,})/.exec(text)?.[1];
    if (fence !== undefined) skipTo = new RegExp(`^\\s*${fence}\\s*$`);
    else if (/^<!--.*begin -->$/.test(text)) skipTo = /^<!--.*end -->$/;
    else if (/^<!--(?!.*-->)/.test(text)) skipTo = /-->/;
    else lines.push({ number: at + 1, text });
  }
  return lines;
}

/** Targets of links, without those to the web. */
export function linksIn(markdown: string): string[] {
  return proseLines(markdown)
    .flatMap(({ text }) => [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!))
    .filter((target) => !/^(?:https?|mailto):/.test(target));
}

/** Paths of the repository that the text names; `{a,b}` is spelt out, a name with `…` or `<` is no path. */
export function pathsIn(markdown: string): string[] {
  const named = [...markdown.matchAll(/(?<![\w/.@-])(?:packages|scripts|deploy|bench)\/[\w./{},*@-]+/g)]
    .filter((match) => !/[…<]/.test(markdown[match.index + match[0].length] ?? ""))
    .map(([path]) => path.replace(/[.,/]+$/, ""));
  return [...new Set(named.flatMap(spellOut))];
}

function spellOut(path: string): string[] {
  const group = /^([^{]*)\{([^}]*)\}(.*)$/.exec(path);
  if (group === null) return [path];
  return group[2]!.split(",").flatMap((part) => spellOut(`${group[1]}${part}${group[3]}`));
}

/**
 * Source files and folders that a text on the architecture names, in code or in a diagram, by the end of their path;
 * `{a,b}` is spelt out.
 */
export function sourcesIn(markdown: string): string[] {
  const spans = [...markdown.matchAll(/`([^`\n]+)`/g)].map(([, span]) => span!);
  const diagrams = [...markdown.matchAll(/^```mermaid\n(.*?)^```/gms)].map(([, text]) => text!);
  const folders = spans.filter((span) => /^[\w-]+(?:\/[\w-]+)*\/$/.test(span));
  const files = [...spans, ...diagrams].flatMap((text) => text.match(/(?:[\w{},.-]+\/)*[\w{},.-]+\.tsx?\b/g) ?? []);
  return [...new Set([...folders, ...files.flatMap(spellOut)])];
}

/** Classes, types and their members that a text names in code: `PathFinder`, `Engine.flush`. */
export function namesIn(markdown: string): string[] {
  const spans = [...markdown.matchAll(/`([A-Z][a-z]\w*(?:\.\w+)?)(?:\(\))?`/g)];
  return [...new Set(spans.flatMap(([, name]) => name!.split(".")))];
}

/** The anchors that GitHub derives from headings. */
export function anchorsOf(markdown: string): string[] {
  return proseLines(markdown)
    .flatMap(({ text }) => /^#+ (.*)$/.exec(text)?.[1] ?? [])
    .map((heading) =>
      heading
        .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-"),
    );
}

/** Ends a sentence: the mark, then what may close around it. */
const END = /[.!?:;…][)"'”*_`\]]*$/;
/** A sentence that begins behind another one on the same line. */
const TWO = /[a-z0-9)`"”%*][.!?][)"”*_]* +["“(*_[`]*[A-Z]/;
const ABBREVIATION = /\b(?:e\.g|i\.e|vs|etc|cf|No)\. /g;

/** Lines that hold more than one sentence, or a part of one that continues on the next line. */
export function brokenLines(markdown: string): Line[] {
  const lines = proseLines(markdown);
  return lines.filter((line, at) => {
    const text = line.text.trimEnd();
    if (!isProse(text)) return false;
    const bare = withoutCode(text)
      .replaceAll(ABBREVIATION, "")
      .replaceAll(/\]\([^)]*\)/g, "]");
    if (TWO.test(bare.replace(/^\s*(?:[-*]|\d+\.) +/, ""))) return true;
    const next = lines[at + 1];
    const goesOn = next !== undefined && next.number === line.number + 1 && isProse(next.text) && !isItem(next.text);
    return goesOn && !END.test(text);
  });
}

function isProse(text: string): boolean {
  return text.trim() !== "" && !/^\s*(?:\||#|<|>|!\[)/.test(text) && !/^ {4}/.test(text);
}

function isItem(text: string): boolean {
  return /^\s*(?:[-*]|\d+\.) /.test(text);
}

function withoutCode(text: string): string {
  return text.replaceAll(/`[^`]*`/g, "`x`");
}
