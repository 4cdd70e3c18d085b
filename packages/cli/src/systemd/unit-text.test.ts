import { expect, test } from "vitest";
import { UsageError } from "../errors/usage-error.ts";
import { duration, exactText, list, text, toggle } from "../flags/kinds.ts";
import { givenSettings } from "../flags/service.ts";
import { emptySettings, listensLow, missingVariables, settingVariables, surroundingVariables } from "./settings.ts";
import { environmentLine, setsVariable, unitCommand, unitValue, withVariables } from "./unit-text.ts";
import { unitText } from "./units.ts";

test("a word of a command stays one word, without specifiers and variables", () => {
  expect(unitCommand(["/usr/bin/coder", "agent"])).toBe("/usr/bin/coder agent");
  expect(unitCommand(["/opt/my coder/100%/c$d", 'a "b" \\ $HOME %h'])).toBe(
    '"/opt/my coder/100%%/c$d" "a \\"b\\" \\\\ $$HOME %%h"',
  );
  expect(unitValue("/etc/100%")).toBe("/etc/100%%");
});

test("no value begins a new line", () => {
  for (const text of ["a\nExecStart=/bin/sh", "a\rb", "a\0b", "\u007f"]) {
    expect(() => unitValue(text)).toThrow(UsageError);
    expect(() => unitCommand(["/bin/x", text])).toThrow(UsageError);
    expect(() => environmentLine("A", text)).toThrow(UsageError);
  }
});

test("given settings are changed, other existing ones stay", () => {
  const file = "# a comment\nCODER_AGENT_TOKEN=old\n  CODER_VERBOSE = true\n\nOTHER=1\n\n";
  const changed = withVariables(file, { CODER_AGENT_TOKEN: 'n"e$w`\\', CODER_NEW: "x y" });
  expect(changed).toBe(
    '# a comment\n  CODER_VERBOSE = true\n\nOTHER=1\nCODER_AGENT_TOKEN="n\\"e\\$w\\`\\\\"\nCODER_NEW="x y"\n',
  );
  expect(withVariables(changed, { CODER_AGENT_TOKEN: 'n"e$w`\\', CODER_NEW: "x y" })).toBe(changed);
  expect(withVariables(emptySettings("server"), {})).toBe(emptySettings("server"));
  expect(setsVariable('A=""\nB=\nC="x"\n#D=1\n', "C")).toBe(true);
  for (const name of ["A", "B", "D", "E"]) expect(setsVariable('A=""\nB=\nC="x"\n#D=1\n', name)).toBe(false);
  expect(missingVariables("A=1\n", ["A", "B"])).toEqual(["B"]);
});

test("settings come from flags and variables, not from defaults; paths are absolute", () => {
  const definitions = {
    "log-dir": text({ env: "LOG_DIR", helpValue: "<folder>", summary: "" }),
    "tls-cert-file": list({ env: "CERTS", summary: "" }),
    "ssh-max-timeout": duration({ env: "TIMEOUT", summary: "" }),
    verbose: toggle({ env: "VERBOSE", summary: "" }),
    "http-address": exactText({ env: "HTTP", summary: "" }),
    auth: text({ env: "AUTH", summary: "" }),
    "no-reap": toggle({ summary: "" }),
  };
  const values = {
    "log-dir": "logs",
    "tls-cert-file": ["a.pem", "/b.pem"],
    "ssh-max-timeout": 5000,
    verbose: true,
    "http-address": "",
    auth: "token",
    "no-reap": true,
  };
  const origins = {
    "log-dir": "flag",
    "tls-cert-file": "environment",
    "ssh-max-timeout": "flag",
    verbose: "flag",
    "http-address": "flag",
    auth: "default",
    "no-reap": "flag",
  } as const;
  expect(settingVariables(givenSettings(definitions, values, origins))).toEqual({
    LOG_DIR: `${process.cwd()}/logs`,
    CERTS: `${process.cwd()}/a.pem,/b.pem`,
    TIMEOUT: "5000ms",
    VERBOSE: "true",
    HTTP: "",
  });
  const comma = givenSettings(definitions, { "tls-cert-file": ["a,b"] }, { "tls-cert-file": "flag" });
  expect(() => settingVariables(comma)).toThrow("comma");
});

test("a service takes proxies and authorities of where it was installed, by absolute paths", () => {
  const environment = {
    HTTPS_PROXY: "http://p:1",
    no_proxy: "",
    PATH: "/bin",
    SSL_CERT_FILE: "own.pem",
    SSL_CERT_DIR: "certs::/etc/certs",
    NODE_EXTRA_CA_CERTS: "",
  };
  expect(surroundingVariables(environment)).toEqual({
    HTTPS_PROXY: "http://p:1",
    SSL_CERT_FILE: `${process.cwd()}/own.pem`,
    SSL_CERT_DIR: `${process.cwd()}/certs:/etc/certs`,
  });
});

test("a port below 1024 is seen in the settings", () => {
  expect(listensLow('CODER_TLS_ADDRESS="0.0.0.0:443"\n')).toBe(true);
  expect(listensLow("CODER_HTTP_ADDRESS=[::]:80\n")).toBe(true);
  for (const text of [
    "CODER_HTTP_ADDRESS=:3000\n",
    "#CODER_HTTP_ADDRESS=:80\n",
    'CODER_TLS_ADDRESS=":0"\n',
    "",
    "X=:80\n",
  ])
    expect(listensLow(text)).toBe(false);
});

const COMMON = { program: ["/usr/bin/coder"], environmentFile: "/etc/coder/x.env" } as const;

test("the server's unit is confined; only a low port gives it a capability", () => {
  const plain = unitText("server", { ...COMMON, scope: "system" });
  for (const line of [
    "DynamicUser=yes",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "StateDirectory=coder-server",
  ])
    expect(plain.split("\n")).toContain(line);
  expect(plain).toContain('ExecReload=/bin/sh -c "kill -HUP $MAINPID"');
  expect(plain).not.toContain("MemoryDenyWriteExecute");
  const low = unitText("server", { ...COMMON, scope: "system", lowPort: true });
  expect(low).toContain("AmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n");
  expect(low).not.toContain("PrivateUsers");
  const own = unitText("server", { ...COMMON, scope: "user" });
  expect(own).not.toMatch(/DynamicUser|CapabilityBoundingSet|network-online|StateDirectory/);
  expect(own).toContain("WantedBy=default.target\n");
});

test("the agent's unit restricts nothing, and runs as somebody", () => {
  const system = unitText("agent", { ...COMMON, scope: "system", runAs: "ada" });
  expect(system).toContain("User=ada\nWorkingDirectory=~\n");
  expect(system).toContain("EnvironmentFile=/etc/coder/x.env\nExecStart=/usr/bin/coder agent\n");
  expect(system).not.toMatch(/Protect|Private|NoNewPrivileges|Filter/);
  expect(unitText("agent", { ...COMMON, scope: "user" })).not.toContain("User=");
});
