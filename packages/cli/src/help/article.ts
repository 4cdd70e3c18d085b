/** Articles of `coder help`: sections of a documentation page. Pure. */
import { wrapWords } from "../base/text.ts";

/** The section under the heading of this name, or the whole page for the name of the page. Undefined when there is none. */
export function articleOf(page: string, pageName: string, wanted: string, columns: number): string | undefined {
  if (wanted === pageName) return reflowed(page, columns);
  const sections = page.split(/^(?=## )/m);
  const section = sections.find((one) => one.split("\n", 1)[0] === `## ${wanted}`);
  return section === undefined ? undefined : reflowed(section, columns);
}

/** Rewraps paragraphs to the page's width; headings and blank lines stay. */
function reflowed(text: string, columns: number): string {
  const paragraphs = text
    .replace(/^#+ (.*)$/gm, "$1\n")
    .replace(/\[([^\]]+)\]\([^)]+\)/g, "$1")
    .trim()
    .split(/\n{2,}/);
  return `${paragraphs.map((paragraph) => wrapWords(paragraph.replaceAll("\n", " "), columns).join("\n")).join("\n\n")}\n`;
}
