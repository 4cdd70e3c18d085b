/** The parts of the generated code that appear on the wire: names of services and methods, numbers and types of fields. */
import type { DescMessage } from "@bufbuild/protobuf";
import * as dotJs from "coder-protocol/gen/agent_pb.js";
import { expect, test } from "vitest";
import { rpcPath } from "../src/drpc/message.ts";
import { Agent, BatchUpdateMetadataRequestSchema, file_agent, ManifestSchema } from "../src/gen/agent_pb.ts";
import { CoordinateRequestSchema, file_tailnet, Tailnet } from "../src/gen/tailnet_pb.ts";

function fields(message: DescMessage): string {
  return message.fields.map((field) => `${field.number} ${field.name}`).join(", ");
}

test("paths of the Tailnet service", () => {
  expect(Tailnet.methods.map((method) => [rpcPath(method), method.methodKind])).toEqual([
    ["/coder.tailnet.v2.Tailnet/PostTelemetry", "unary"],
    ["/coder.tailnet.v2.Tailnet/StreamDERPMaps", "server_streaming"],
    ["/coder.tailnet.v2.Tailnet/RefreshResumeToken", "unary"],
    ["/coder.tailnet.v2.Tailnet/Coordinate", "bidi_streaming"],
    ["/coder.tailnet.v2.Tailnet/WorkspaceUpdates", "server_streaming"],
  ]);
});

test("paths of the Agent service, all unary, up to 2.14", () => {
  expect(Agent.methods.every((method) => method.methodKind === "unary")).toBe(true);
  expect(Agent.methods.map((method) => rpcPath(method).replace("/coder.agent.v2.Agent/", ""))).toEqual([
    "GetManifest",
    "GetServiceBanner",
    "UpdateStats",
    "UpdateLifecycle",
    "BatchUpdateAppHealths",
    "UpdateStartup",
    "BatchUpdateMetadata",
    "BatchCreateLogs",
    "GetAnnouncementBanners",
    "ScriptCompleted",
    "GetResourcesMonitoringConfiguration",
    "PushResourcesMonitoringUsage",
    "ReportConnection",
    "CreateSubAgent",
    "DeleteSubAgent",
    "ListSubAgents",
    "ReportBoundaryLogs",
    "UpdateAppStatus",
    "PushContextState",
  ]);
});

test("numbers that are easy to get wrong", () => {
  expect(fields(CoordinateRequestSchema)).toBe(
    "1 update_self, 2 disconnect, 3 add_tunnel, 4 remove_tunnel, 5 ready_for_handshake, " + "1000 lost_peers",
  );
  expect(fields(BatchUpdateMetadataRequestSchema)).toBe("2 metadata");
  expect(fields(ManifestSchema)).toBe(
    "1 agent_id, 2 git_auth_configs, 3 environment_variables, 4 directory, 5 vs_code_port_proxy_uri, 6 motd_path, " +
      "7 disable_direct_connections, 8 derp_force_websockets, 9 derp_map, 10 scripts, 11 apps, 12 metadata, " +
      "13 owner_username, 14 workspace_id, 15 agent_name, 16 workspace_name, 17 devcontainers, 18 parent_id, 19 secrets",
  );
});

test("ids are bytes everywhere", () => {
  const ids = [...file_agent.messages, ...file_tailnet.messages].flatMap((message) =>
    message.fields.filter((field) => /(^|_)id$/.test(field.name)).map((field) => [message.name, field] as const),
  );
  const others = ids.filter(([, field]) => field.fieldKind !== "scalar" || field.scalar !== 12);
  expect(others.map(([name, field]) => `${name}.${field.name}`)).toEqual(["Node.id"]);
  expect(ids.length).toBeGreaterThan(10);
});

test("both spellings of the generated files are the same module", () => {
  expect(dotJs.Agent).toBe(Agent);
});
