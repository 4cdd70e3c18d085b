import { ClientError } from "coder-client/base/client-error";
import { parseWorkspaceName } from "coder-protocol/names";
import { UserError } from "../../errors/user-error.ts";
import { word } from "../../flags/kinds.ts";
import { BaseCommand } from "../base-command.ts";

interface App {
  readonly slug: string;
  readonly agent: string;
  /** The address of an app that is not the workspace's own. */
  readonly url: string | undefined;
}

export default class OpenApp extends BaseCommand<typeof OpenApp> {
  static override summary = "Open an app of a workspace in the browser";
  static override examples = ["<%= config.bin %> open app dev", "<%= config.bin %> open app dev code-server"];
  static override args = {
    workspace: word({ required: true, description: "[owner/]workspace[.agent]" }),
    app: word({ description: "its name; without one, the apps there are listed" }),
  };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { printable } = await import("../../copy/location.ts");
    const { openAddress } = await import("../../open/open-editor.ts");
    const { fetchWorkspace } = await import("../../rest/workspace-builds.ts");
    const name = parseWorkspaceName(this.args.workspace);
    const deployment = await this.openDeployment();
    const workspace = await fetchWorkspace({ deployment, name, signal });
    const agents = workspace.latest_build.resources?.flatMap((resource) => resource.agents ?? []) ?? [];
    const apps = agents
      .filter((agent) => name.agent === undefined || agent.name === name.agent)
      .flatMap((agent) => agent.apps.flatMap((app) => appOf(app, agent.name)));
    const wanted = this.args.app;
    if (wanted === undefined) {
      if (apps.length === 0) this.display.say(`Workspace "${workspace.name}" has no apps`);
      for (const { slug } of apps) this.display.print(`${printable(slug)}\n`);
      return;
    }
    const app = apps.find(({ slug }) => slug === wanted);
    if (app === undefined) {
      const there = apps.map(({ slug }) => printable(slug)).join(", ");
      throw new UserError(`Workspace "${workspace.name}" has no app "${printable(wanted)}"`, {
        why: apps.length === 0 ? "it has no apps at all" : `it has: ${there}`,
        next: [`reach a program of it by its port: coder port-forward ${workspace.name} --auto`],
        code: "ERR_NO_APP",
      });
    }
    const path = `/@${workspace.owner_name}/${workspace.name}.${app.agent}/apps/${encodeURIComponent(app.slug)}/`;
    const address = app.url ?? new URL(path, deployment.url).href;
    if (!/^https?:\/\//.test(address))
      throw new ClientError(
        "ERR_NOT_A_CODER_SERVER",
        `the app's address is no web page: ${printable(address.slice(0, 80))}`,
      );
    await openAddress(address).catch(() => {
      this.display.say("Nothing here opens addresses; open this one in a browser:");
      this.display.print(`${address}\n`);
    });
  }
}

function appOf(app: unknown, agent: string): App[] {
  const { slug, url, external } = (app ?? {}) as { slug?: unknown; url?: unknown; external?: unknown };
  if (typeof slug !== "string") return [];
  return [{ slug, agent, url: external === true && typeof url === "string" ? url : undefined }];
}
