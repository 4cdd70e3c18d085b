import { ClientError } from "coder-client/base/client-error";
import { describe, expect, it } from "vitest";
import { EngineError } from "wg-userspace/base/errors";
import { UsageError } from "../errors/usage-error.ts";
import { renderUserError, toUserError } from "./present.ts";
import { UserError } from "./user-error.ts";

const render = (error: unknown) => {
  const known = toUserError(error);
  return known === undefined ? undefined : { text: renderUserError(known), exit: known.exit };
};

describe("the text of a failed command", () => {
  it("names what, why and what next, with the code at the end of the first line", () => {
    expect(
      render(new UserError("Cannot reach it", { why: "it is off", next: ["turn it on"], code: "ERR_OFF" })),
    ).toEqual({
      text: "Cannot reach it: it is off   (ERR_OFF)\n  Try: turn it on",
      exit: 1,
    });
  });

  it.each([
    [new ClientError("ERR_NOT_LOGGED_IN", "You are not logged in"), "coder login <url>"],
    [
      new ClientError("ERR_UNAUTHORIZED", "The session token has expired"),
      "The deployment refused the session token: The session token has expired   (ERR_UNAUTHORIZED)\n  Try: coder login",
    ],
    [
      new ClientError("ERR_UNAUTHORIZED", "You are signed out.", { detail: "API key is invalid" }),
      "The deployment refused the session token: You are signed out; API key is invalid   (ERR_UNAUTHORIZED)\n  Try: coder login",
    ],
    [
      new ClientError("ERR_UNAUTHORIZED", "The account is suspended"),
      "The account is suspended   (ERR_UNAUTHORIZED)\n  Try: ask an owner of the deployment",
    ],
    [
      new ClientError("ERR_UNAUTHORIZED", 'User is not active (status = "suspended").'),
      "\n  Try: ask an owner of the deployment",
    ],
    [new ClientError("ERR_NO_RELAY", "The deployment has no relay"), "administrator"],
    [new EngineError("ERR_CONNECTION_REFUSED", "cannot reach http://h"), "check the URL and that the server runs"],
    [new EngineError("ERR_NAME_NOT_FOUND", "cannot reach http://h"), "check the host name"],
    [new EngineError("ERR_TLS_UNTRUSTED", "cannot reach https://h"), "--ca-file"],
    [new EngineError("ERR_TLS_NAME_MISMATCH", "cannot reach https://h"), "host name that the certificate carries"],
    [new EngineError("ERR_TLS_EXPIRED", "cannot reach https://h"), "clock"],
    [new EngineError("ERR_TLS", "TLS failed (ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED)"), "--client-cert"],
  ])("tells what to do about %s", (error, words) => {
    const rendered = render(error)!;
    expect(rendered.exit).toBe(1);
    expect(rendered.text).toContain(words);
    expect(rendered.text).not.toMatch(/\n\s+at /);
  });

  it("exits with 2 for a wrong command line", () => {
    const unknown = render(
      new ClientError("ERR_UNKNOWN_RELAY", 'The deployment has no relay region "mars"; it has: 1 a "A"'),
    );
    expect(unknown).toMatchObject({ exit: 2, text: expect.stringMatching(/it has: 1 a "A".*\n.*--region/) });
    expect(render(new UsageError("unknown flag --x"))).toEqual({ text: "Unknown flag --x   (ERR_USAGE)", exit: 2 });
  });

  it("reports any other error as a bug", () => {
    expect(render(new TypeError("x is not a function"))).toBeUndefined();
  });
});
