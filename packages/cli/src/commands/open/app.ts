import { ClientError } from "coder-client/base/client-error";
import { externalAddressProblem } from "coder-protocol/app-addresses";
import { parseWorkspaceName } from "coder-protocol/names";
import { PRIMARY_PROXY_NAME } from "coder-protocol/proxy-names";
import { text, word } from "../../flags/kinds.ts";
import { BaseCommand } from "../base-command.ts";

interface App {
  readonly slug: string;
  readonly agent: string;
  /** First label of the app's host name; "" for an app served under a path. */
  readonly subdomainName: string;
  /** The address of an app outside the workspace. */
  readonly url: string | undefined;
}

export default class OpenApp extends BaseCommand<typeof OpenApp> {
  static override summary = "Open an app of a workspace in the browser";
  static override description =
    "Opens the app at the deployment itself, or at the workspace proxy named by --region. If that proxy is unhealthy or does not serve this app, a note says so and the app opens at the deployment.";
  static override examples = [
    "<%= config.bin %> open app dev",
    "<%= config.bin %> open app dev code-server",
    "<%= config.bin %> open app --region sydney dev code-server",
  ];
  static override flags = {
    "app-region": text({
      env: "CODER_OPEN_APP_REGION",
      helpValue: "<name>",
      default: PRIMARY_PROXY_NAME,
      summary: "Region to open it at: primary, or the name of a workspace proxy; --region takes precedence",
    }),
  };
  static override args = {
    workspace: word({ required: true, description: "[owner/]workspace[.agent]" }),
    app: word({ description: "its name; without it, the existing apps are listed" }),
  };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { printable } = await import("../../base/text.ts");
    const { openedAt } = await import("../../rest/app-region.ts");
    const { noApp } = await import("../../rest/apps.ts");
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
    const app = apps.find(({ slug }) => slug === wanted) ?? noApp(workspace.name, wanted, apps);
    const { owner_name: owner, name: workspaceName } = workspace;
    const placed = { ...app, owner, workspace: workspaceName, label: app.subdomainName };
    // CODER_REGION names a relay region, and most of those serve no apps.
    const region = (this.origins["region"] === "flag" ? this.flags.region : undefined) ?? this.flags["app-region"];
    const { address, note } =
      app.url === undefined
        ? await openedAt(deployment, placed, { region, signal })
        : { address: app.url, note: undefined };
    if (note !== undefined) this.display.say(note);
    const problem = app.url === undefined ? undefined : externalAddressProblem(address);
    if (problem !== undefined)
      throw new ClientError(
        "ERR_NOT_A_CODER_SERVER",
        `the app's address ${problem}: ${printable(address.slice(0, 80))}`,
      );
    await openAddress(address).catch(() => {
      this.display.say("No program here can open addresses; open this one in a browser:");
      this.display.print(`${address}\n`);
    });
  }
}

function appOf(app: unknown, agent: string): App[] {
  const { slug, url, external, subdomain_name: label } = (app ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof slug !== "string") return [];
  const subdomainName = typeof label === "string" ? label : "";
  return [{ slug, agent, subdomainName, url: external === true && typeof url === "string" ? url : undefined }];
}
