import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { type FlagSpec, numberFlag, stringFlag } from "../../flags/spec.ts";
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
    const key = await createToken(
      openDeployment(line.values),
      stringFlag(line.values, "user") ?? "me",
      { name: stringFlag(line.values, "name") ?? "", lifetimeMs: numberFlag(line.values, "lifetime") },
      signal,
    );
    process.stdout.write(`${key}\n`);
  }
}
