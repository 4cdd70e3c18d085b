import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { type FlagSpec, listFlag, numberFlag, stringFlag, UsageError } from "../../flags/spec.ts";
import { openDeployment } from "../../services/deployment.ts";
import { createToken } from "../../services/tokens.ts";

const FLAGS: readonly FlagSpec[] = [
  {
    name: "lifetime",
    env: "CODER_TOKEN_LIFETIME",
    kind: "duration",
    value: "duration",
    summary: "How long it is valid; the deployment's default if left out",
  },
  {
    name: "name",
    char: "n",
    env: "CODER_TOKEN_NAME",
    kind: "string",
    value: "name",
    summary: "A name to recognise it by",
  },
  {
    name: "scope",
    kind: "list",
    value: "scope",
    summary: "What the token may do: all, everything that its user may; this deployment knows no other",
    hidden: true,
  },
  {
    name: "allow",
    kind: "list",
    value: "type:id",
    summary: "Accepted for compatibility where it allows everything: *:*",
    hidden: true,
  },
  {
    name: "user",
    char: "u",
    env: "CODER_TOKEN_USER",
    kind: "string",
    value: "user",
    summary: "Whose token; owners may name others",
  },
];

export default class TokensCreate extends BaseCommand {
  static override summary = "Create an API token and print it, this once";
  static override examples = ["<%= config.bin %> tokens create --name ci --lifetime 720h"];
  static override specs = FLAGS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    refuseLess("scope", ["all", "coder:all"], line);
    refuseLess("allow", ["*", "*:*"], line);
    const key = await createToken(
      openDeployment(line.values),
      stringFlag(line.values, "user") ?? "me",
      { name: stringFlag(line.values, "name") ?? "", lifetimeMs: numberFlag(line.values, "lifetime") },
      signal,
    );
    process.stdout.write(`${key}\n`);
  }
}

/** A token that may do more than was asked for must not be handed out. */
function refuseLess(name: string, everything: readonly string[], line: ParsedLine): void {
  const less = listFlag(line.values, name).find((text) => !everything.includes(text));
  if (less !== undefined)
    throw new UsageError(
      `--${name} is "${less}"; tokens of this deployment may do all that their user may: ${everything[0]}`,
    );
}
