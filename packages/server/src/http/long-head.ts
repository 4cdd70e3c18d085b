/**
 * A page for browsers whose cookies make the head of a request too long. Any program below the same domain can set such cookies,
 * and without this page the deployment would look broken until they are cleared.
 */
const TITLE = "The Browser Sends Too Many Cookies";

/** @param site The host of the request; "" if unknown. */
export function longHeadPage(site: string): string {
  const whose = site === "" ? "this site" : `${site} and the domains above it`;
  return [
    `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">`,
    `<title>${TITLE}</title><h1>${TITLE}</h1>`,
    "<p>The head of the request is longer than the server reads. ",
    "An application below the same domain may have set large cookies. ",
    `Clear the cookies of ${whose} in the settings of the browser, and load this page again.</p></html>\n`,
  ].join("");
}

export function longHeadHeaders(page: string): Record<string, string> {
  return {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Length": String(Buffer.byteLength(page)),
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    Connection: "close",
  };
}

/** The whole answer, for a connection whose request head was not read to its end. */
export function longHeadAnswer(): string {
  const page = longHeadPage("");
  const lines = Object.entries(longHeadHeaders(page)).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 431 Request Header Fields Too Large\r\n${lines.join("")}\r\n${page}`;
}
