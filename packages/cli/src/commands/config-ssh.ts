import { deploymentOptions } from "../flags/global.ts";
import { choice, exactText, list, text, toggle } from "../flags/kinds.ts";
import { YES_FLAG } from "../flags/output.ts";
import { BaseCommand } from "./base-command.ts";

export default class ConfigSsh extends BaseCommand<typeof ConfigSsh> {
  static override summary = "Make ssh, scp, git and editors reach workspaces by host name";
  static override description =
    "Writes one section into the SSH configuration, for all workspaces of the deployment, present and future; everything else in the file stays as it is.";
  static override examples = [
    "<%= config.bin %> config-ssh",
    "<%= config.bin %> config-ssh --dry-run",
    "<%= config.bin %> config-ssh --yes -o ForwardAgent=yes",
    "<%= config.bin %> --global-config ~/.config/coder-work config-ssh --block work",
  ];
  static override flags = {
    "ssh-config-file": text({
      env: "CODER_SSH_CONFIG_FILE",
      helpValue: "<file>",
      default: "~/.ssh/config",
      summary: "SSH configuration to change",
    }),
    "ssh-option": list({
      char: "o",
      env: "CODER_SSH_CONFIG_OPTS",
      helpValue: "<Key=value>",
      summary: "SSH option of every workspace; an empty value leaves an option out; may be given several times",
    }),
    "ssh-host-prefix": exactText({
      env: "CODER_CONFIGSSH_SSH_HOST_PREFIX",
      helpValue: "<prefix>",
      summary: "Hosts are called <prefix><workspace>, instead of what the deployment says",
    }),
    "hostname-suffix": exactText({
      env: "CODER_CONFIGSSH_HOSTNAME_SUFFIX",
      helpValue: "<suffix>",
      summary: "Hosts are called <workspace>.<suffix>, instead of what the deployment says",
    }),
    block: text({
      env: "CODER_CONFIGSSH_BLOCK",
      helpValue: "<name>",
      summary: "Keep this deployment in a section of its own, beside those of others: hosts <name>.* and *.<name>",
    }),
    wait: choice({
      env: "CODER_CONFIGSSH_WAIT",
      options: ["yes", "no", "auto"],
      default: "auto",
      summary: "Whether connections wait for the startup scripts",
    }),
    "disable-autostart": toggle({
      env: "CODER_CONFIGSSH_DISABLE_AUTOSTART",
      summary: "Connections do not start a stopped workspace",
    }),
    "coder-binary-path": text({
      env: "CODER_SSH_CONFIG_BINARY_PATH",
      helpValue: "<program>",
      summary: "Absolute path of the coder program that ssh should run instead of this one",
    }),
    "use-previous-options": toggle({
      env: "CODER_SSH_USE_PREVIOUS_OPTIONS",
      summary: "Use the options of the last run again, without asking",
    }),
    "dry-run": toggle({
      char: "n",
      env: "CODER_SSH_DRY_RUN",
      summary: "Print what would change as a diff and change nothing",
    }),
    ...YES_FLAG,
    "force-unix-filepaths": toggle({
      env: "CODER_CONFIGSSH_UNIX_FILEPATHS",
      summary: "Accepted for compatibility: paths are written with slashes on Windows anyway",
      hidden: true,
    }),
    "skip-proxy-command": toggle({
      env: "CODER_SSH_SKIP_PROXY_COMMAND",
      summary: "Write no ProxyCommand",
      hidden: true,
    }),
  };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { flags } = this;
    const { runConfigSsh } = await import("../ssh-config/run-config-ssh.ts");
    const deployment = deploymentOptions(flags);
    const options = {
      deployment,
      sshConfigFile: flags["ssh-config-file"],
      block: flags.block,
      stored: {
        wait: flags.wait,
        hostPrefix: flags["ssh-host-prefix"],
        hostnameSuffix: flags["hostname-suffix"],
        disableAutostart: flags["disable-autostart"],
        sshOptions: flags["ssh-option"] ?? [],
        headers: deployment.headers,
        headerCommand: deployment.headerCommand,
      },
      usePreviousOptions: flags["use-previous-options"],
      dryRun: flags["dry-run"],
      confirm: flags.yes || flags["dry-run"] ? undefined : (question: string) => this.confirm(question, signal),
      program: flags["coder-binary-path"],
      proxyCommand: !flags["skip-proxy-command"],
      carried: { region: flags.region, disableDirect: flags["disable-direct-connections"] },
    };
    await runConfigSsh(options, this.display, signal);
  }
}
