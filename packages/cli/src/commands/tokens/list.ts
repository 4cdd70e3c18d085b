import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { booleanFlag, type FlagSpec } from "../../flags/spec.ts";
import { openDeployment } from "../../services/deployment.ts";
import { type ListedToken, listTokens } from "../../services/tokens.ts";
import { ago, type Column, OUTPUT_FLAGS, printListing } from "../../ui/output.ts";

const FLAGS: readonly FlagSpec[] = [
  { name: "all", char: "a", kind: "boolean", summary: "Tokens of all users, for owners" },
  ...OUTPUT_FLAGS,
];

const COLUMNS: readonly Column<ListedToken>[] = [
  { name: "id", standard: true, value: (row) => row.id },
  { name: "name", standard: true, value: (row) => row.token_name },
  { name: "last used", standard: true, value: (row) => ago(row.last_used, Date.now()) },
  { name: "expires at", standard: true, value: (row) => row.expires_at },
  { name: "created at", standard: true, value: (row) => row.created_at },
  { name: "owner", value: (row) => row.username },
];

export default class TokensList extends BaseCommand {
  static override summary = "List API tokens";
  static override examples = ["<%= config.bin %> tokens list"];
  static override specs = FLAGS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const tokens = await listTokens(openDeployment(line.values), booleanFlag(line.values, "all"), signal);
    if (tokens.length === 0 && line.values["output"] !== "json") process.stderr.write("No tokens found.\n");
    else printListing(line, COLUMNS, tokens, tokens);
  }
}
