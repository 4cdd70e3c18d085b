import { expect, test } from "vitest";
import { buildEnvironment, ClientEnvironment } from "./environment.ts";

const user = { name: "dev", shell: "/bin/zsh", home: "/home/dev", uid: 1000 };
const endpoints = { remote: { address: "fd7a::1", port: 999 }, local: { address: "fd7a::2", port: 22 } };

test("the agent's secrets, loader variables and package manager variables are not inherited", () => {
  const inherited = {
    PATH: "/opt/bin:/bin",
    LANG: "de_DE.UTF-8",
    JAVA_HOME: "/opt/java",
    LD_LIBRARY_PATH: "/opt/cuda",
    LD_PRELOAD: "/evil.so",
    NODE_OPTIONS: "--inspect",
    npm_config_registry: "x",
    NPM_TOKEN: "x",
    GITHUB_TOKEN: "x",
    CODER_AGENT_TOKEN: "secret",
    CODER_AGENT_URL: "https://x",
    SSH_AUTH_SOCK: "/other",
    TERM: "dumb",
    NOTIFY_SOCKET: "/run/x",
  };
  expect(buildEnvironment({ inherited, user, client: {}, workspace: {}, endpoints })).toEqual({
    PATH: "/opt/bin:/bin",
    LANG: "de_DE.UTF-8",
    JAVA_HOME: "/opt/java",
    LD_LIBRARY_PATH: "/opt/cuda",
    HOME: "/home/dev",
    USER: "dev",
    LOGNAME: "dev",
    SHELL: "/bin/zsh",
    SSH_CLIENT: "fd7a::1 999 22",
    SSH_CONNECTION: "fd7a::1 999 fd7a::2 22",
  });
});

test("a terminal without a name sets no TERM, as with sshd", () => {
  const parts = { inherited: {}, user, client: {}, workspace: {}, endpoints, terminal: { type: "" } };
  expect(buildEnvironment(parts)).not.toHaveProperty("TERM");
});

test("the workspace's variables win over the client's, and both over the account's", () => {
  const environment = buildEnvironment({
    inherited: {},
    user,
    client: { EDITOR: "vi", REGION: "mars" },
    workspace: { REGION: "eu", CODER_AGENT_TOKEN: "meant for programs", PATH: "/scripts:/bin" },
    endpoints,
    terminal: { type: "xterm-256color" },
    agentSocket: "/tmp/ssh-x/agent.1",
  });
  expect(environment).toMatchObject({
    EDITOR: "vi",
    REGION: "eu",
    CODER_AGENT_TOKEN: "meant for programs",
    PATH: "/scripts:/bin",
    TERM: "xterm-256color",
    SSH_AUTH_SOCK: "/tmp/ssh-x/agent.1",
  });
});

test.each([
  "LD_PRELOAD",
  "LD_LIBRARY_PATH",
  "DYLD_INSERT_LIBRARIES",
  "NODE_OPTIONS",
  "BASH_ENV",
  "BASH_FUNC_ls",
  "ENV",
  "PATH",
  "HOME",
  "SSH_AUTH_SOCK",
  "CODER_AGENT_TOKEN",
  "CODER",
  "PYTHONPATH",
  "GIT_SSH_COMMAND",
  "GIT_EXTERNAL_DIFF",
  "GIT_CONFIG_COUNT",
  "LESSOPEN",
  "1ABC",
  "A B",
  "A=B",
  "",
  "X".repeat(300),
])("a client may not set %s", (name) => {
  const client = new ClientEnvironment(1000);
  expect(client.set(name, "x")).toBe(false);
  expect(client.variables).toEqual({});
});

test.each(["LANG", "LC_ALL", "EDITOR", "GIT_AUTHOR_NAME", "_x", "npm_x", "TZ"])("a client may set %s", (name) => {
  const client = new ClientEnvironment(1000);
  expect(client.set(name, "value")).toBe(true);
  expect(client.variables).toEqual({ [name]: "value" });
});

test("a value with a NUL is refused", () => {
  expect(new ClientEnvironment(1000).set("A", "x\0y")).toBe(false);
});

test("names and values together are bounded, and replacing a variable frees its old value", () => {
  const client = new ClientEnvironment(20);
  expect(client.set("A", "12345678")).toBe(true);
  expect(client.set("B", "1234567")).toBe(false);
  expect(client.set("A", "1")).toBe(true);
  expect(client.set("B", "1234567")).toBe(true);
});

test("the number of variables is bounded", () => {
  const client = new ClientEnvironment(1_000_000);
  const taken = Array.from({ length: 600 }, (_, i) => client.set(`V${i}`, "")).filter(Boolean).length;
  expect(taken).toBe(512);
});

test("the session type classifies and is not passed on; an unknown one is refused", () => {
  const client = new ClientEnvironment(1000);
  expect(client.set("CODER_SSH_SESSION_TYPE", "VSCode")).toBe(true);
  expect(client.sessionType).toBe("vscode");
  expect(client.set("CODER_SSH_SESSION_TYPE", "emacs")).toBe(false);
  expect(client.set("CODER_CONTAINER", "abc")).toBe(true);
  expect(client.container).toBe("abc");
  expect(client.variables).toEqual({});
});
