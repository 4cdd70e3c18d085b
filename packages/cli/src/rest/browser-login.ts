/** Gets a login token that a user makes in a browser. */
import type { Display } from "../ui/display.ts";
import type { LoginListener } from "./login-listener.ts";

export interface BrowserLogin {
  /** Opens a page in the browser; when undefined, the user opens it and pastes the token. */
  readonly openPage: ((address: string) => Promise<void>) | undefined;
  readonly listen: (deployment: URL) => Promise<LoginListener>;
}

/** The page sends the token here, or the user pastes it, because the browser is on another machine or nothing can listen here. */
export async function tokenFromBrowser(
  url: URL,
  { openPage, listen }: BrowserLogin,
  { ask, say }: Pick<Display, "ask" | "say">,
  signal: AbortSignal,
): Promise<string> {
  const plain = `${url.href.replace(/\/$/, "")}/cli-auth`;
  const paste = (ended: AbortSignal) =>
    ask("Paste your token here: ", { hidden: true, signal: ended, instead: "set CODER_SESSION_TOKEN" });
  // Without a listener, a pasted token still logs in.
  await using listener = openPage === undefined ? undefined : await listen(url).catch(() => undefined);
  if (openPage === undefined || listener === undefined) {
    say(`Open this page in your browser and copy the token it shows:\n\n    ${plain}\n`);
    return await paste(signal);
  }
  say(`Your browser should open this page, which logs this command in:\n\n    ${listener.page.href}\n`);
  say(`From a browser on another machine, open ${plain} and copy the token it shows.`);
  // If no browser opens, the user has the address printed above.
  openPage(listener.page.href).catch(() => undefined);
  const arrived = new AbortController();
  const pasted = paste(AbortSignal.any([signal, arrived.signal]));
  pasted.catch(() => undefined); // the race below reports it, unless the token arrived by the other way
  try {
    return await Promise.race([listener.token, pasted]);
  } finally {
    arrived.abort();
  }
}
