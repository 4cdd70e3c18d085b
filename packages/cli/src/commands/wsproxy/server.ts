import { deploymentOptions } from "../../flags/global.ts";
import { givenProxyFlags, WORKSPACE_PROXY_FLAGS } from "../../flags/server.ts";
import { BaseCommand } from "../base-command.ts";

export default class WsproxyServer extends BaseCommand<typeof WsproxyServer> {
  static override summary = "Run a workspace proxy: a relay, terminals and web apps near its users";
  static override description =
    "Connections without a direct path go through the nearest relay. A proxy adds one: it registers with the deployment, admits the same clients and agents, and needs neither a database nor a state directory. Browsers may open terminals through it, and web apps with --wildcard-access-url, unless it runs with --derp-only. It keeps working while the deployment is away.";
  static override examples = [
    "CODER_PROXY_SESSION_TOKEN=… <%= config.bin %> wsproxy server --primary-access-url https://coder.example.com --access-url https://sydney.coder.example.com --derp-only",
    "<%= config.bin %> wsproxy server --primary-access-url https://coder.example.com --access-url https://sydney.coder.example.com --proxy-session-token-file /etc/coder/proxy-token --tls-enable --tls-address 0.0.0.0:443 --tls-cert-file cert.pem --tls-key-file key.pem",
  ];
  static override flags = WORKSPACE_PROXY_FLAGS;
  static override isService = true;
  static override reloads = true;

  protected override async execute(signal: AbortSignal): Promise<number> {
    const { runProxyCommand } = await import("../../hosting/workspace-proxy.ts");
    const values = givenProxyFlags(this.flags, this.origins);
    const line = { values, verbose: this.flags.verbose, tls: deploymentOptions(this.flags).tls };
    return runProxyCommand(line, this.display, signal);
  }
}
