import { signal } from "@preact/signals";

/** The address of the shown page. */
export const address = signal(new URL(location.href));

/** Shows another page of this origin, as a new history entry unless `replace` is set. */
export function navigate(path: string, options: { readonly replace?: boolean } = {}): void {
  const url = new URL(path, location.origin);
  if (url.origin !== location.origin) throw new Error(`${path} is not an address of this site`);
  history[options.replace ? "replaceState" : "pushState"](null, "", url);
  address.value = url;
  if (!options.replace) scrollTo(0, 0);
}

/** Follows the history, and links to pages of this origin without loading a document. */
export function startRouting(isPage: (pathname: string) => boolean): void {
  addEventListener("popstate", () => {
    address.value = new URL(location.href);
  });
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const anchor = event.target instanceof Element ? event.target.closest("a") : null;
    if (anchor === null || anchor.target !== "" || anchor.hasAttribute("download")) return;
    if (anchor.origin !== location.origin || !isPage(anchor.pathname)) return;
    // Links to a part of this page are left to the browser.
    if (anchor.hash !== "" && anchor.pathname === location.pathname && anchor.search === location.search) return;
    event.preventDefault();
    if (anchor.href !== location.href) navigate(`${anchor.pathname}${anchor.search}${anchor.hash}`);
  });
}
