import { UsageError } from "../../errors/usage-error.ts";
import { duration, list, text } from "../../flags/kinds.ts";
import { BaseCommand } from "../base-command.ts";

export default class TokensCreate extends BaseCommand<typeof TokensCreate> {
  static override summary = "Create an API token and print it once";
  static override examples = ["<%= config.bin %> tokens create --name ci --lifetime 720h"];
  static override flags = {
    lifetime: duration({
      env: "CODER_TOKEN_LIFETIME",
      helpValue: "<duration>",
      summary: "How long it is valid; the deployment's default if left out",
    }),
    name: text({ char: "n", env: "CODER_TOKEN_NAME", helpValue: "<name>", summary: "A name to recognise it by" }),
    scope: list({
      helpValue: "<scope>",
      summary: "What the token may do: all means everything that its user may; this deployment has no other scope",
      hidden: true,
    }),
    allow: list({
      helpValue: "<type:id>",
      summary: "Accepted for compatibility where it allows everything: *:*",
      hidden: true,
    }),
    user: text({
      char: "u",
      env: "CODER_TOKEN_USER",
      helpValue: "<user>",
      summary: "Whose token; owners may name others",
    }),
  };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { createToken } = await import("../../rest/tokens.ts");
    refuseLess("scope", ["all", "coder:all"], this.flags.scope);
    refuseLess("allow", ["*", "*:*"], this.flags.allow);
    const key = await createToken(
      await this.openDeployment(),
      this.flags.user ?? "me",
      { name: this.flags.name ?? "", lifetimeMs: this.flags.lifetime },
      signal,
    );
    this.display.print(`${key}\n`);
  }
}

/** The server may have created a token with wider rights than requested; it must not be handed out. */
function refuseLess(name: string, everything: readonly string[], given: readonly string[] = []): void {
  const less = given.find((text) => !everything.includes(text));
  if (less !== undefined)
    throw new UsageError(
      `--${name} is "${less}"; tokens of this deployment may do all that their user may: ${everything[0]}`,
    );
}
