/** Answers that an app host writes itself: a small page for people, JSON for programs. */
import { createHash } from "node:crypto";
import type { Header } from "./headers.ts";

export interface AppAnswer {
  readonly status: number;
  readonly title: string;
  /** One sentence, shown below the title. */
  readonly text: string;
  readonly links?: readonly AppLink[];
  /** Links that are listed above the others. */
  readonly items?: readonly AppLink[];
  /** Reloads a page that was shown in answer to a GET after this many seconds. */
  readonly reloadSeconds?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Values of Set-Cookie. */
  readonly cookies?: readonly string[];
  /** Sent as it is instead of the page or the JSON; `headers` gives its type. */
  readonly body?: string;
  /** Additional fields of the JSON form. */
  readonly fields?: Readonly<Record<string, string>>;
}

export interface AppLink {
  readonly href: string;
  readonly text: string;
}

const STYLE = [
  "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem;color:#1b1f24;background:#fff}",
  "a{color:#0b57d0;margin-right:1rem}p{overflow-wrap:anywhere}",
  "@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#16181d}a{color:#8ab4f8}}",
].join("");

const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`,
  "frame-ancestors 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

export interface RenderedAnswer {
  readonly status: number;
  readonly headers: readonly Header[];
  readonly body: string;
}

export function renderAnswer(answer: AppAnswer, form: { html: boolean; reloads: boolean }): RenderedAnswer {
  const { html } = form;
  const body =
    answer.body ??
    (html
      ? page(answer, form.reloads)
      : `${JSON.stringify({ message: answer.title, detail: answer.text, ...answer.fields })}\n`);
  const own: Record<string, string> = {
    "Content-Type": html ? "text/html; charset=utf-8" : "application/json; charset=utf-8",
    "Content-Length": String(Buffer.byteLength(body)),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
  };
  if (html) own["Content-Security-Policy"] = POLICY;
  return {
    status: answer.status,
    headers: Object.entries({ ...own, ...answer.headers }).concat(
      (answer.cookies ?? []).map((cookie) => ["Set-Cookie", cookie]),
    ),
    body,
  };
}

function page({ title, text, items = [], links = [], reloadSeconds }: AppAnswer, reloads: boolean): string {
  const list = items.map((item) => `<li>${anchor(item)}</li>`).join("");
  return [
    `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">`,
    reloads && reloadSeconds !== undefined ? `<meta http-equiv="refresh" content="${reloadSeconds}">` : "",
    `<title>${escaped(title)}</title><style>${STYLE}</style>`,
    `<h1>${escaped(title)}</h1><p>${escaped(text)}</p>${list === "" ? "" : `<ul>${list}</ul>`}`,
    `<p>${links.map(anchor).join("")}</p></html>\n`,
  ].join("");
}

function anchor({ href, text }: AppLink): string {
  return `<a href="${escaped(href)}">${escaped(text)}</a>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
