import { word } from "../../flags/kinds.ts";
import { BaseCommand } from "../base-command.ts";

export default class ConnectExists extends BaseCommand<typeof ConnectExists> {
  static override summary = "Tell by the exit code whether a host is reached through a desktop tunnel";
  static override description =
    "The SSH configuration runs this before it makes a connection itself. There is no such tunnel here, so the exit code is always 1 (no).";
  static override examples = ["<%= config.bin %> connect exists dev.coder"];
  static override args = { host: word({ required: true, description: "host name" }) };

  protected override async execute(): Promise<number> {
    return 1;
  }
}
