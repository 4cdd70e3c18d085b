import { describe, expect, it } from "vitest";
import { EngineError } from "../../base/errors.ts";
import { toEngineError } from "./node-errors.ts";

const node = (code: string): Error => Object.assign(new Error(`raw ${code}`), { code });

describe("toEngineError", () => {
  it.each([
    ["ECONNREFUSED", "ERR_CONNECTION_REFUSED", true],
    ["ECONNRESET", "ERR_CONNECTION_RESET", true],
    ["EPIPE", "ERR_CONNECTION_RESET", true],
    ["ETIMEDOUT", "ERR_CONNECTION_TIMEOUT", true],
    ["EHOSTUNREACH", "ERR_HOST_UNREACHABLE", true],
    ["ENETUNREACH", "ERR_NETWORK_UNREACHABLE", true],
    ["ENOTFOUND", "ERR_NAME_NOT_FOUND", true],
    ["EAI_AGAIN", "ERR_NAME_NOT_FOUND", true],
    ["EADDRINUSE", "ERR_ADDRESS_IN_USE", false],
    ["EADDRNOTAVAIL", "ERR_ADDRESS_NOT_AVAILABLE", false],
    ["EACCES", "ERR_PERMISSION_DENIED", false],
    ["EMSGSIZE", "ERR_MESSAGE_TOO_LARGE", false],
    ["EMFILE", "ERR_LIMIT", true],
    ["CERT_HAS_EXPIRED", "ERR_TLS_EXPIRED", false],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "ERR_TLS_NAME_MISMATCH", false],
    ["SELF_SIGNED_CERT_IN_CHAIN", "ERR_TLS_UNTRUSTED", false],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "ERR_TLS_UNTRUSTED", false],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "ERR_TLS", false],
    ["ESOMETHINGNEW", "ERR_IO", true],
  ])("maps %s to %s and keeps the cause", (code, expected, retryable) => {
    const cause = node(code);
    const error = toEngineError(cause, 'cannot reach "h:1"');
    expect(error).toMatchObject({ code: expected, retryable, cause });
    expect(error.message.startsWith('cannot reach "h:1": ')).toBe(true);
    expect(error.message.endsWith(".")).toBe(false);
  });

  it("returns an EngineError as it is", () => {
    const error = new EngineError("ERR_CLOSED", "gone");
    expect(toEngineError(error, "x")).toBe(error);
  });

  it("distinguishes a deadline from a cancellation", () => {
    const timeout = new DOMException("t", "TimeoutError");
    const abort = new DOMException("a", "AbortError");
    expect(toEngineError(timeout, "x")).toMatchObject({ code: "ERR_TIMEOUT", retryable: true });
    expect(toEngineError(abort, "x")).toMatchObject({ code: "ERR_ABORTED", retryable: false });
  });

  it("looks into the errors of several addresses", () => {
    expect(toEngineError(new AggregateError([node("ECONNREFUSED"), node("ENETUNREACH")]), "x").code).toBe(
      "ERR_CONNECTION_REFUSED",
    );
  });

  it("accepts any thrown value", () => {
    for (const thrown of [undefined, null, "text", 7, {}, { code: 7 }, new AggregateError([])])
      expect(toEngineError(thrown, "x").code).toBe("ERR_IO");
  });
});
