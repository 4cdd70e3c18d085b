/** Addresses that open a workspace in an editor or a browser, and the programs that open them. */
import { spawn } from "node:child_process";

export interface EditorTarget {
  readonly deploymentUrl: URL;
  readonly owner: string;
  readonly workspace: string;
  readonly agent: string | undefined;
  /** Directory in the workspace; when absent, the one that was open last. */
  readonly folder: string | undefined;
  /** A session token for the editor; when absent, it uses its own login. */
  readonly token: string | undefined;
}

/** The address that the VS Code extension handles. */
export function vscodeUri(target: EditorTarget): string {
  const query = new URLSearchParams();
  query.set("owner", target.owner);
  query.set("workspace", target.workspace);
  if (target.agent !== undefined) query.set("agent", target.agent);
  if (target.folder === undefined) query.set("openRecent", "true");
  else query.set("folder", target.folder);
  query.set("url", target.deploymentUrl.href.replace(/\/$/, ""));
  if (target.token !== undefined) query.set("token", target.token);
  return `vscode://coder.coder-remote/open?${query}`;
}

/** The program, with its arguments, that opens an address as a double click would. */
export function openerOf(platform: NodeJS.Platform, address: string): { file: string; args: string[] } {
  switch (platform) {
    case "darwin":
      return { file: "open", args: [address] };
    case "win32":
      // Not "start": the command interpreter would read & and % in the address.
      return { file: "rundll32.exe", args: ["url.dll,FileProtocolHandler", address] };
    default:
      return { file: "xdg-open", args: [address] };
  }
}

/** Resolves when the opener has accepted the address. Rejects when there is none or it failed. */
export function openAddress(address: string, platform: NodeJS.Platform = process.platform): Promise<void> {
  const { file, args } = openerOf(platform, address);
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: "ignore", detached: true });
    child.once("error", reject);
    child.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`${file} ended with ${code}`))));
  });
}
