/**
 * A deployment whose certificate comes from a private authority: everything that dials trusts it by the same settings.
 */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NO_TRUST, PrivateDeployment } from "./private-deployment.ts";

describe("a private authority", () => {
  let own: PrivateDeployment;

  beforeAll(async () => {
    own = await PrivateDeployment.start();
  });

  afterAll(async () => {
    await own?.close();
  });

  const ways: readonly [string, () => { flags: string[]; variables: NodeJS.ProcessEnv }][] = [
    ["--ca-file", () => ({ flags: ["--ca-file", own.path("root"), ...own.clientFlags], variables: NO_TRUST })],
    [
      "CODER_CA_FILE",
      () => ({ flags: [], variables: { ...NO_TRUST, ...own.clientVariables, CODER_CA_FILE: own.path("root") } }),
    ],
    [
      "SSL_CERT_FILE",
      () => ({ flags: [], variables: { ...NO_TRUST, ...own.clientVariables, SSL_CERT_FILE: own.path("root") } }),
    ],
    [
      "SSL_CERT_DIR",
      () => ({
        flags: [],
        variables: { ...NO_TRUST, ...own.clientVariables, SSL_CERT_DIR: `/no/such:${join(own.path("x"), "../store")}` },
      }),
    ],
    [
      "the authority just above",
      () => ({
        flags: [],
        variables: { ...NO_TRUST, ...own.clientVariables, CODER_CA_FILE: own.path("intermediate") },
      }),
    ],
  ];

  it.each(ways)("is trusted through %s, by the agent as by the command", async (name, way) => {
    const { flags, variables } = way();
    const workspace = `w${ways.findIndex(([other]) => other === name)}`;
    const token = await own.deployment.createWorkspace(workspace);
    own.deployment.spawn(["agent", ...flags], {
      ...variables,
      CODER_AGENT_URL: own.deployment.url,
      CODER_AGENT_TOKEN: token,
      CODER_CONFIG_DIR: undefined,
    });
    const done = await own.deployment.run(["ssh", ...flags, workspace, "--", "echo trusted"], {
      environment: variables,
    });
    expect([done.code, done.stdout], done.stderr).toEqual([0, "trusted\n"]);
  });
});
