import { describe, expect, it } from "vitest";
import { proxyRefusal } from "./proxy-refusal.ts";

const refusal = (head: string) => proxyRefusal(head, "proxy.test:3128", "coder.test:443");

describe("a proxy's refusal to connect", () => {
  it.each([
    ["HTTP/1.1 401 Unauthorized", "it requires a name and password", false],
    ["HTTP/1.1 407 Proxy Authentication Required", "http://name:password@host", false],
    ["HTTP/1.1 403 Forbidden", "does not allow coder.test:443; ask its administrator to allow this host", false],
    ["HTTP/1.0 405 Method Not Allowed", "it is not a proxy, or does not carry HTTPS", false],
    ["HTTP/1.1 429 Too Many Requests", "try again later", true],
    ["HTTP/1.1 502 Bad Gateway", "it cannot reach the host itself", true],
    ["HTTP/1.1 503 Service Unavailable", "it is overloaded or broken", true],
    ["HTTP/1.1 504 Gateway Timeout", "it cannot reach the host itself", true],
    ["HTTP/1.1 418", "name the host in NO_PROXY", false],
  ])("%s", (status, words, retryable) => {
    const error = refusal(`${status}\r\nContent-Length: 0\r\n\r\n`);
    expect([error.code, error.retryable]).toEqual(["ERR_PROXY_REFUSED", retryable]);
    expect(error.message).toContain(
      `proxy proxy.test:3128 refused to connect to coder.test:443 with ${status.slice(9)}`,
    );
    expect(error.message).toContain(words);
    // Missing credentials are not a matter for the administrator, nor is a refusal one of passwords.
    if (words.includes("password")) expect(error.message).not.toContain("administrator");
    else expect(error.message).not.toContain("password");
  });

  it("names the unsupported scheme", () => {
    const error = refusal("HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n");
    expect(error.message).toContain("It asks for Negotiate or NTLM, but only Basic is supported here");
    expect(refusal("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\n\r\n").message).not.toContain("only Basic");
  });

  it("reports that it is not an HTTP proxy", () => {
    expect(refusal("\x05\x00\r\n\r\n").message).toBe(
      "proxy.test:3128 is not an HTTP proxy: it answered CONNECT with something that is not HTTP. Check the proxy variable",
    );
  });
});
