import { create } from "@bufbuild/protobuf";
import { ManifestSchema } from "coder-protocol/gen/agent_pb.js";
import { expect, it } from "vitest";
import { manifestView, metricsText } from "./views.ts";

it("the manifest is shown without values of variables and secrets, and without scripts", () => {
  const manifest = create(ManifestSchema, {
    agentId: Uint8Array.from({ length: 16 }, (_, i) => i),
    workspaceName: "dev",
    directory: "~/src",
    environmentVariables: { API_KEY: "s3cret" },
    secrets: [{ envName: "DB", filePath: "/run/db", value: Buffer.from("s3cret") }],
    scripts: [{ displayName: "setup", script: "login --password s3cret", runOnStart: true }],
  });
  const text = JSON.stringify(manifestView(manifest));
  expect(text).not.toContain("s3cret");
  expect(JSON.parse(text)).toMatchObject({
    agent_id: "00010203-0405-0607-0809-0a0b0c0d0e0f",
    workspace_name: "dev",
    directory: "~/src",
    environment_variables: { API_KEY: "[redacted]" },
    secrets: [{ env_name: "DB", file_path: "/run/db" }],
    scripts: [{ display_name: "setup", run_on_start: true, length: 23 }],
  });
  expect(manifestView(undefined)).toBeNull();
});

it("metrics are in Prometheus' text format", () => {
  const text = metricsText({
    connections: { tcp: 2, udp: 1 },
    sessions: { ssh: 3, vscode: 0, jetbrains: 0, terminals: 4 },
    traffic: { rxBytes: 10, txBytes: 20 },
    peers: [{ path: "direct" }, { path: "relayed" }, { path: "direct", rttMs: 5 }],
  });
  expect(text).toContain("# TYPE coder_agent_sessions gauge\n");
  expect(text).toContain('coder_agent_sessions{type="terminals"} 4\n');
  expect(text).toContain('coder_agent_reachable_peers{path="direct"} 2\n');
  expect(text.endsWith("\n")).toBe(true);
  const line = /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+\{[a-z]+="[a-z]+"\} \d+)$/;
  for (const one of text.trimEnd().split("\n")) expect(one).toMatch(line);
});
