import { type PageName, ROUTES } from "../src/router/routes.ts";

/** Vite's table of chunks, by source file. */
export type Chunks = Readonly<
  Record<string, { readonly file: string; readonly imports?: readonly string[]; readonly css?: readonly string[] }>
>;

const ENTRY = "index.html";
/** Is in the entry itself. */
const FIRST_PAGE: PageName = "workspaces";

/** The addresses that are pages, and the scripts that each page needs besides those that index.html names. */
export function routesFile(chunks: Chunks): string {
  const first = filesOf(chunks, ENTRY);
  const routes = ROUTES.map(({ pattern, page }) => {
    const source = `src/pages/${page}.tsx`;
    if (chunks[source] === undefined && page !== FIRST_PAGE)
      throw new Error(`the page ${page} has no chunk of its own: ${source} is missing`);
    return { pattern, preload: [...filesOf(chunks, source)].filter((file) => !first.has(file)).sort() };
  });
  return `${JSON.stringify(routes, null, 1)}\n`;
}

/** A chunk and everything that it imports before it runs, as paths of addresses. */
function filesOf(chunks: Chunks, source: string, found = new Set<string>()): Set<string> {
  const chunk = chunks[source];
  if (chunk === undefined || found.has(`/${chunk.file}`)) return found;
  found.add(`/${chunk.file}`);
  for (const name of chunk.imports ?? []) filesOf(chunks, name, found);
  return found;
}
