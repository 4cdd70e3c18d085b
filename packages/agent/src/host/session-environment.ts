import type { Manifest } from "coder-protocol/gen/agent_pb.js";

/** Variables of every session: those that identify the workspace, then the template's, which may refer to the host's. */
export function sessionEnvironment(
  manifest: Manifest,
  options: { readonly token: string; readonly url: URL },
  machine: NodeJS.ProcessEnv = process.env,
): Record<string, string> {
  const environment: Record<string, string> = {
    CODER: "true",
    CODER_WORKSPACE_NAME: manifest.workspaceName,
    CODER_WORKSPACE_AGENT_NAME: manifest.agentName,
    CODER_WORKSPACE_OWNER_NAME: manifest.ownerUsername,
    CODER_AGENT_TOKEN: options.token,
    CODER_AGENT_URL: options.url.href,
    CS_DISABLE_GETTING_STARTED_OVERRIDE: "1",
  };
  if (manifest.vsCodePortProxyUri !== "") environment["VSCODE_PROXY_URI"] = manifest.vsCodePortProxyUri;
  for (const [name, value] of Object.entries(manifest.environmentVariables)) {
    environment[name] = value.replace(
      /\$(?:\{(\w+)\}|(\w+))/g,
      (_, braced: string | undefined, bare: string | undefined) => {
        const variable = braced ?? bare ?? "";
        return environment[variable] ?? machine[variable] ?? "";
      },
    );
  }
  return environment;
}
