/**
 * The minimal XML to read a device description or a SOAP answer: elements and text. No entities, no document types, no
 * CDATA; attributes are skipped and name prefixes dropped. A document with anything else, or beyond the limits, is
 * refused entirely. Linear in the length of the text.
 */
export interface XmlElement {
  /** Without its prefix. */
  readonly name: string;
  readonly children: readonly XmlElement[];
  /** Trimmed text directly inside; undefined when it holds a reference such as `&amp;`, which is not decoded. */
  readonly text: string | undefined;
}

export const MAX_XML_CHARS = 65_536;
const MAX_DEPTH = 32;
const MAX_ELEMENTS = 4_096;
const NAME = /^(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)(?:\s|$)/;

interface Open {
  readonly name: string;
  /** With its prefix, as the closing tag must spell it. */
  readonly tag: string;
  readonly children: XmlElement[];
  text: string;
}

/** The root element; undefined for what is malformed, truncated or too large. */
export function parseXml(text: string): XmlElement | undefined {
  if (text.length > MAX_XML_CHARS) return undefined;
  const document: Open = { name: "", tag: "", children: [], text: "" };
  const stack: Open[] = [document];
  let elements = 0;
  let at = 0;
  while (at < text.length) {
    const inside = stack.at(-1)!;
    const start = text.indexOf("<", at);
    inside.text += text.slice(at, start < 0 ? text.length : start);
    if (start < 0) break;
    if (text.startsWith("<!--", start) || text.startsWith("<?", start)) {
      const mark = text[start + 1] === "?" ? "?>" : "-->";
      const end = text.indexOf(mark, start + 2);
      if (end < 0) return undefined;
      at = end + mark.length;
      continue;
    }
    const end = text.indexOf(">", start);
    if (end < 0 || text[start + 1] === "!") return undefined;
    at = end + 1;
    if (text[start + 1] === "/") {
      if (inside === document || inside.tag !== text.slice(start + 2, end).trimEnd()) return undefined;
      stack.pop();
      stack.at(-1)!.children.push(finished(inside));
      continue;
    }
    const isEmpty = text[end - 1] === "/";
    const tag = text.slice(start + 1, isEmpty ? end - 1 : end);
    const name = NAME.exec(tag)?.[1];
    if (name === undefined || ++elements > MAX_ELEMENTS || stack.length > MAX_DEPTH) return undefined;
    const open: Open = { name, tag: tag.split(/\s/, 1)[0]!, children: [], text: "" };
    if (isEmpty) inside.children.push(finished(open));
    else stack.push(open);
  }
  const [root, another] = document.children;
  const isAlone = another === undefined && /^\ufeff?\s*$/.test(document.text);
  return stack.length === 1 && isAlone ? root : undefined;
}

/** The elements of that name, in document order, at any depth. */
export function elementsNamed(within: XmlElement, name: string): XmlElement[] {
  const found = within.name === name ? [within] : [];
  for (const child of within.children) found.push(...elementsNamed(child, name));
  return found;
}

/** Text of the first direct child of that name; undefined when there is none. */
export function childText(of: XmlElement, name: string): string | undefined {
  return of.children.find((child) => child.name === name)?.text;
}

function finished({ name, children, text }: Open): XmlElement {
  return { name, children, text: text.includes("&") ? undefined : text.trim() };
}
