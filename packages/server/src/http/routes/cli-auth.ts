import { createHash } from "node:crypto";
import type { Context } from "hono";
import type { Authenticator } from "../../auth/authenticator.ts";
import { csrfProof } from "../../auth/csrf.ts";
import type { Hosts } from "../../auth/hosts.ts";
import type { Sessions } from "../../auth/sessions.ts";
import { DomainError } from "../../base/domain-error.ts";
import type { UserRow } from "../../db/schema.ts";
import { failureOf, HttpFailure } from "../failure.ts";
import type { HttpEnv, Router } from "../hono.ts";
import type { LoginCookies } from "../login-cookies.ts";
import { readBody } from "../reply.ts";
import type { RequestAudit } from "../request-audit.ts";
import { type CliCallback, parseCliCallback } from "./cli-callback.ts";

const STYLE = [
  "body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem;color:#1b1f24;background:#fff}",
  "label{display:block;margin:1rem 0 .25rem}input{font:inherit;width:100%;padding:.5rem;box-sizing:border-box}",
  "button{font:inherit;margin-top:1rem;padding:.5rem 1rem}",
  "code{display:block;padding:.75rem;background:#f0f2f5;overflow-wrap:anywhere;user-select:all}",
  ".problem{color:#a40e26}",
].join("");

/** No script runs on this page, and no other page can frame it or receive its form. */
const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`,
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join("; ");

/** Submits the form at once; without scripts, a person presses its button. */
const SUBMIT = "document.forms[0].submit()";
const SUBMIT_HASH = createHash("sha256").update(SUBMIT).digest("base64");

const FORM_BYTES = 8 * 1024;

export interface CliAuthDeps {
  readonly authenticator: Authenticator;
  readonly sessions: Sessions;
  readonly cookies: LoginCookies;
  readonly hosts: Pick<Hosts, "isOurOrigin">;
  readonly audit: RequestAudit;
  readonly csrfKey: Uint8Array;
}

/** The page that `coder login` opens: log in, get a token, paste it. It works without scripts. */
export function cliAuthRoutes(router: Router, deps: CliAuthDeps): void {
  const { authenticator, sessions, cookies, hosts, audit, csrfKey } = deps;
  /** Issues a token and shows it, or sends it to the listener that requested it. */
  const sendToken = async (
    c: Context<HttpEnv>,
    user: UserRow,
    keyId: string,
    callback: CliCallback | undefined,
  ): Promise<Response> => {
    const { row, token } = await sessions.issueSession(user, { keyId });
    audit.record(c, { action: "session-created", by: user, facts: { key_id: row.id } });
    return callback === undefined ? page(c, tokenShown(token)) : handOver(c, token, callback);
  };

  router.get("/cli-auth", async (c) => {
    const callback = parseCliCallback(c.req.query("callback"), c.req.query("state"));
    if (callback === "invalid") return page(c, wrongCallback(), 400);
    const auth = await authenticator.authenticateUser(c.env.incoming);
    if (auth instanceof DomainError) return page(c, loginForm("", callback));
    return page(c, tokenForm(auth.user.username, csrfProof(csrfKey, auth.key.id), callback));
  });

  router.post("/cli-auth", async (c) => {
    const { origin } = c.env.incoming.headers;
    if (origin === undefined || !hosts.isOurOrigin(origin, c.env.incoming)) {
      throw new HttpFailure(403, "This form is not accepted from other origins");
    }
    const form = new URLSearchParams(await readBody(c.env.incoming, FORM_BYTES));
    const callback = parseCliCallback(form.get("callback"), form.get("state"));
    if (callback === "invalid") return page(c, wrongCallback(), 400);
    const proof = form.get("csrf");
    if (proof !== null) {
      const auth = await authenticator.authenticateUser(c.env.incoming, { csrfProof: proof });
      if (auth instanceof DomainError) return page(c, loginForm("Please log in again.", callback), 401);
      return await sendToken(c, auth.user, auth.key.id, callback);
    }
    const credentials = { email: form.get("email") ?? "", password: form.get("password") ?? "" };
    try {
      const { user, key } = await sessions.login(credentials, audit.addressOf(c));
      for (const cookie of cookies.of(key, c.env.incoming)) c.header("Set-Cookie", cookie, { append: true });
      // A password alone is not consent: the next page says who requests the token.
      if (callback !== undefined) return page(c, tokenForm(user.username, csrfProof(csrfKey, key.row.id), callback));
      return await sendToken(c, user, key.row.id, undefined);
    } catch (error) {
      const failure = failureOf(error);
      if (failure === undefined) throw error;
      return page(c, loginForm(`${failure.message}.`, callback), failure.status);
    }
  });
}

/**
 * @param referrer A policy under which browsers send the true `Origin` with the page's form instead of "null" (Fetch, "append a
 * request Origin header").
 */
function page(c: Context<HttpEnv>, body: string, status = 200, policy = POLICY, referrer = "same-origin"): Response {
  c.header("Content-Security-Policy", policy);
  c.header("Cache-Control", "no-store");
  c.header("Referrer-Policy", referrer);
  return c.html(
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
      `<title>Coder</title><style>${STYLE}</style></head><body>${body}</body></html>`,
    status as 200,
  );
}

/** The page that sends a token to the command's listener: in the body of a form, never in a URL. */
function handOver(c: Context<HttpEnv>, token: string, { url, origin, state }: CliCallback): Response {
  const policy = POLICY.replace("form-action 'self'", `form-action ${origin}; script-src 'sha256-${SUBMIT_HASH}'`);
  const body =
    `<h1>Command line login</h1><p>The command line on this computer gets a token.</p>` +
    `<form method="post" action="${escapeHtml(url)}"><input type="hidden" name="state" value="${escapeHtml(state)}">` +
    `<input type="hidden" name="token" value="${escapeHtml(token)}"><button type="submit">Send the token</button></form>` +
    `<script>${SUBMIT}</script>`;
  // The form leaves this origin, from https to http on loopback; only this policy makes the browser name the origin in that case.
  return page(c, body, 200, policy, "origin");
}

function wrongCallback(): string {
  return (
    `<h1>Command line login</h1><p class="problem" role="alert">This link does not lead to a command line on this computer, ` +
    `so no token is sent.</p><p>Start <b>coder login</b> again, or <a href="/cli-auth">show a token</a> to paste.</p>`
  );
}

function callbackFields(callback: CliCallback | undefined): string {
  if (callback === undefined) return "";
  return (
    `<input type="hidden" name="callback" value="${escapeHtml(callback.url)}">` +
    `<input type="hidden" name="state" value="${escapeHtml(callback.state)}">`
  );
}

function loginForm(problem: string, callback: CliCallback | undefined): string {
  return (
    `<h1>Log in</h1>${problem === "" ? "" : `<p class="problem" role="alert">${escapeHtml(problem)}</p>`}` +
    `<form method="post" action="/cli-auth">${callbackFields(callback)}` +
    `<label for="email">E-mail</label><input id="email" name="email" type="email" autocomplete="username" required autofocus>` +
    `<label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required>` +
    `<button type="submit">Log in</button></form>`
  );
}

function tokenForm(username: string, proof: string, callback: CliCallback | undefined): string {
  return (
    `<h1>Command line login</h1><p>You are logged in as ${escapeHtml(username)}.</p>` +
    (callback === undefined
      ? ""
      : `<p>A command on this computer asks for a token. Agree only if you have just started <b>coder login</b> yourself.</p>`) +
    `<form method="post" action="/cli-auth"><input type="hidden" name="csrf" value="${escapeHtml(proof)}">` +
    `${callbackFields(callback)}` +
    `<button type="submit">${callback === undefined ? "Show a token" : "Log in the command line"}</button></form>`
  );
}

function tokenShown(token: string): string {
  return `<h1>Session token</h1><p>Paste this into your terminal:</p><code>${escapeHtml(token)}</code>`;
}

function escapeHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? "");
}
