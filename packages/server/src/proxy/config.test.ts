import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { ServerError } from "../base/errors.ts";
import { createLogger } from "../base/log.ts";
import type { ServerFlagValues } from "../config/flags.ts";
import { parseProxyConfig } from "./config.ts";
import { PROXY_FLAGS } from "./flags.ts";

const secret = "5e".repeat(32);
const token = `0b4f42b9-3a9c-4d0e-8f52-6f6f0c7f9d11:${secret}`;
const enough: ServerFlagValues = {
  "primary-access-url": "https://coder.example.com",
  "access-url": "https://near.example.com",
  "proxy-session-token": token,
};

function problem(values: ServerFlagValues): string {
  try {
    parseProxyConfig({ ...enough, ...values });
  } catch (error) {
    if (error instanceof ServerError && error.code === "ERR_CONFIG") return `${error.title} ${error.nextSteps.join()}`;
    throw error;
  }
  return "no problem";
}

function tokenFile(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "proxy-token-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "token");
  writeFileSync(file, text);
  return file;
}

test("the table of settings", () => {
  expect(PROXY_FLAGS.map((flag) => `${flag.name} ${flag.env}`)).toMatchInlineSnapshot(`
    [
      "primary-access-url CODER_PRIMARY_ACCESS_URL",
      "proxy-session-token CODER_PROXY_SESSION_TOKEN",
      "proxy-session-token-file CODER_PROXY_SESSION_TOKEN_FILE",
      "derp-only CODER_PROXY_DERP_ONLY",
      "access-url CODER_ACCESS_URL",
      "wildcard-access-url CODER_WILDCARD_ACCESS_URL",
      "disable-path-apps CODER_DISABLE_PATH_APPS",
      "allowed-hosts CODER_ALLOWED_HOSTS",
      "http-address CODER_HTTP_ADDRESS",
      "tls-enable CODER_TLS_ENABLE",
      "tls-address CODER_TLS_ADDRESS",
      "tls-cert-file CODER_TLS_CERT_FILE",
      "tls-key-file CODER_TLS_KEY_FILE",
      "tls-min-version CODER_TLS_MIN_VERSION",
      "strict-transport-security CODER_STRICT_TRANSPORT_SECURITY",
      "proxy-trusted-headers CODER_PROXY_TRUSTED_HEADERS",
      "proxy-trusted-origins CODER_PROXY_TRUSTED_ORIGINS",
      "derp-server-enable CODER_DERP_SERVER_ENABLE",
      "derp-server-relay-url CODER_DERP_SERVER_RELAY_URL",
      "stun-address CODER_STUN_ADDRESS",
      "prometheus-enable CODER_PROMETHEUS_ENABLE",
      "prometheus-address CODER_PROMETHEUS_ADDRESS",
      "log-format CODER_LOG_FORMAT",
      "log-level CODER_LOG_LEVEL",
      "verbose CODER_VERBOSE",
    ]
  `);
});

test("the required settings are sufficient", () => {
  const config = parseProxyConfig(enough);
  expect(config).toMatchObject({ http: { host: "127.0.0.1", port: 3000 }, stunServer: { host: "", port: 3478 } });
  expect([config.primaryUrl.origin, config.accessUrl.origin]).toEqual([
    "https://coder.example.com",
    "https://near.example.com",
  ]);
  expect(config.token.read()).toBe(token);
});

test("a proxy serves a relay and terminals by default, and announces STUN with its relay alone", () => {
  expect(parseProxyConfig(enough)).toMatchObject({ relay: true, derpOnly: false });
  expect(parseProxyConfig({ ...enough, "derp-only": true })).toMatchObject({ relay: true, derpOnly: true });
  expect(parseProxyConfig({ ...enough, "derp-server-enable": false })).toMatchObject({
    relay: false,
    derpOnly: false,
    stunServer: undefined,
  });
});

test.each<[string, ServerFlagValues, string]>([
  ["no primary", { "primary-access-url": "" }, "--primary-access-url is missing"],
  ["no access URL", { "access-url": "" }, "--access-url is missing"],
  ["the primary's own URL", { "access-url": "https://coder.example.com/" }, "must not be that of the deployment"],
  ["a path", { "access-url": "https://near.example.com/relay" }, "must have no path"],
  ["apps of a relay", { "derp-only": true, "wildcard-access-url": "*.near.example.com" }, "serves no apps"],
  ["the primary as an app", { "wildcard-access-url": "*.example.com" }, "must not cover the host of the deployment"],
  ["an invalid wildcard", { "wildcard-access-url": "near.example.com" }, "must begin with"],
  [
    "own names among those of apps",
    { "wildcard-access-url": "*.near.example.com", "allowed-hosts": "*.near.example.com" },
    "must not cover the hosts of --wildcard-access-url",
  ],
  ["nothing to serve", { "derp-only": true, "derp-server-enable": false }, "so there is nothing to serve"],
  ["no token", { "proxy-session-token": "" }, "coder wsproxy create"],
  ["a token of a user", { "proxy-session-token": `${"a".repeat(10)}-${"b".repeat(22)}` }, "is not a proxy's token"],
  ["two tokens", { "proxy-session-token-file": "/token" }, "exclude each other"],
  ["a file that is not there", { "proxy-session-token": "", "proxy-session-token-file": "/no/such" }, "ENOENT"],
  ["a setting of the server", { "state-dir": "/x" }, "--state-dir is not a setting"],
  ["nothing to listen on", { "http-address": "" }, "nothing to listen on"],
])("%s", (_name, values, words) => {
  expect(problem(values)).toContain(words);
});

test("a file's token is read each time, and a broken one is named without its content", () => {
  const file = tokenFile(`${token}\nmore\n`);
  const { token: read } = parseProxyConfig({ ...enough, "proxy-session-token": "", "proxy-session-token-file": file });
  expect(read.read()).toBe(token);
  const next = `${token.slice(0, 37)}${"7a".repeat(32)}`;
  writeFileSync(file, next);
  expect(read.read()).toBe(next);
  writeFileSync(file, `half-written-${secret.slice(0, 20)}`);
  expect(() => read.read()).toThrow("is not a proxy's token");
  expect(() => read.read()).not.toThrow(secret.slice(0, 20));
});

test("the token is in no text that is made from the settings, and in no log line", () => {
  const config = parseProxyConfig(enough);
  const lines: string[] = [];
  for (const format of ["json", "human"] as const) {
    const log = createLogger({ sink: { write: (line: string) => lines.push(line) }, level: "debug", format });
    log.info({ config, token: config.token }, "settings");
    log.info({ why: `refused ${token}`, "coder-external-proxy-token": token }, `with ${token}`);
  }
  const texts = [...lines, inspect(config, { depth: 9 }), JSON.stringify(config), String(config.token)].join("\n");
  expect(texts).toContain("[redacted]");
  expect(texts).not.toContain(secret);
});
