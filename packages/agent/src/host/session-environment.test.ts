import { create } from "@bufbuild/protobuf";
import { ManifestSchema } from "coder-protocol/gen/agent_pb.js";
import { expect, it } from "vitest";
import { sessionEnvironment } from "./session-environment.ts";

const options = { token: "secret", url: new URL("https://coder.test/") };

it("names the workspace, and where its ports are for editors", () => {
  const manifest = create(ManifestSchema, {
    workspaceName: "dev",
    agentName: "main",
    ownerUsername: "ada",
    vsCodePortProxyUri: "https://{{port}}--main--dev--ada.apps.test",
  });
  expect(sessionEnvironment(manifest, options, {})).toMatchObject({
    CODER: "true",
    CODER_WORKSPACE_NAME: "dev",
    CODER_WORKSPACE_AGENT_NAME: "main",
    CODER_WORKSPACE_OWNER_NAME: "ada",
    VSCODE_PROXY_URI: "https://{{port}}--main--dev--ada.apps.test",
  });
});

it("has no address of ports where the deployment has no web apps", () => {
  expect(sessionEnvironment(create(ManifestSchema, {}), options, {})).not.toHaveProperty("VSCODE_PROXY_URI");
});

it("fills the template's variables from the machine's and its own", () => {
  const manifest = create(ManifestSchema, {
    workspaceName: "dev",
    environmentVariables: { A: "$CODER_WORKSPACE_NAME", B: `\${HOME}/x`, C: "$NO_SUCH" },
  });
  expect(sessionEnvironment(manifest, options, { HOME: "/home/ada" })).toMatchObject({
    A: "dev",
    B: "/home/ada/x",
    C: "",
  });
});
