import { expect, test } from "vitest";
import { externalAddressProblem, healthAddress, iconProblem, parseLocalAddress } from "./app-addresses.ts";

test.each([
  ["http://localhost:8080", { port: 8080, secure: false, basePath: "", query: "" }],
  ["http://127.0.0.1:8080/", { port: 8080, secure: false, basePath: "", query: "" }],
  [
    "https://[::1]:8443/base/?folder=/home/dev",
    { port: 8443, secure: true, basePath: "/base", query: "?folder=/home/dev" },
  ],
  ["http://127.9.8.7", { port: 80, secure: false, basePath: "", query: "" }],
  ["https://localhost", { port: 443, secure: true, basePath: "", query: "" }],
])("%s is a program of the workspace", (text, expected) => {
  expect(parseLocalAddress(text)).toEqual(expected);
});

test("security S17: only the workspace's own machine is an address of an app", () => {
  for (const text of [
    "",
    "http://169.254.169.254/",
    "http://10.0.0.1:8080",
    "http://[::1]@evil/",
    "http://user@localhost:80/",
    "http://localhost.evil.example:80",
    "http://localhost:8080@evil/",
    "http://localhost:1",
    "http://localhost:8",
    "http://localhost:0",
    "http://localhost:65536",
    "http://localhost:1e3",
    "http://localhost:-80",
    "http://127.1:8080",
    "http://0x7f000001:8080",
    "http://2130706433",
    "http://[::ffff:127.0.0.1]:80",
    "http://LOCALHOST:80",
    "HTTP://localhost:80",
    "http:localhost:80",
    "http:///localhost",
    "http://localhost:80/a b",
    "http://localhost:80/#x",
    "http://localhost:80\\@evil/",
    "http://localhost:80/\r\nX: y",
    "unix:/run/x.sock",
    "file:///etc/passwd",
    "ftp://localhost/",
    "ws://localhost:80",
  ])
    expect([text, "error" in parseLocalAddress(text)]).toEqual([text, true]);
});

test("security S24: an external app opens web pages and editors", () => {
  for (const text of [
    "https://example.com",
    "https://example.com:8443/x?y#z",
    "vscode://x/y",
    "jetbrains-gateway://connect#a=b",
  ])
    expect([text, externalAddressProblem(text)]).toEqual([text, undefined]);
  for (const text of [
    "",
    "http://example.com",
    "https://user:pw@example.com/",
    "https://",
    "https:/example.com",
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "ssh://host",
    "vscode:\nx",
    "//example.com",
  ])
    expect([text, externalAddressProblem(text) === undefined]).toEqual([text, false]);
});

test("security S21: an icon is an asset of the deployment or a small picture", () => {
  for (const text of ["", "/icon/code.svg", "data:image/png;base64,AAAA", "data:image/svg+xml,%3Csvg/%3E"])
    expect([text, iconProblem(text)]).toEqual([text, undefined]);
  for (const text of [
    "/icon/../x.svg",
    "/icon/x.svg?y",
    "//evil/icon/x.svg",
    "https://evil.example/x.svg",
    "/api/v2/users/me",
    "data:text/html,x",
    "data:image/gif;base64,AA",
    'data:image/png,"> <x',
    "javascript:alert(1)",
    `data:image/png;base64,${"A".repeat(16 * 1024)}`,
  ])
    expect([text.slice(0, 40), iconProblem(text) === undefined]).toEqual([text.slice(0, 40), false]);
});

test("a health check is a path of the app or an address of its own", () => {
  expect(healthAddress("http://127.0.0.1:8080/base?x", "/healthz")).toBe("http://127.0.0.1:8080/healthz");
  expect(healthAddress("http://127.0.0.1:8080", "http://127.0.0.1:9090/up")).toBe("http://127.0.0.1:9090/up");
});
