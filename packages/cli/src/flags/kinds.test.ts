/** The type checker is the test: a line below `@ts-expect-error` that compiles is an error. */
import { expect, expectTypeOf, it } from "vitest";
import { BaseCommand } from "../commands/base-command.ts";
import { choice, duration, list, text, toggle, word } from "./kinds.ts";
import { SERVER_FLAGS } from "./server.ts";

class Sample extends BaseCommand<typeof Sample> {
  static override flags = {
    wait: choice({ options: ["yes", "no"], default: "yes", summary: "Wait" }),
    mode: choice({ options: ["fast", "slow"], summary: "Mode" }),
    timeout: duration({ default: 5_000, summary: "Timeout" }),
    limit: duration({ summary: "Limit" }),
    name: text({ summary: "Name" }),
    tag: list({ summary: "Tag" }),
    "dry-run": toggle({ summary: "Change nothing" }),
    "http-address": SERVER_FLAGS["http-address"],
    "tls-enable": SERVER_FLAGS["tls-enable"],
    "tls-cert-file": SERVER_FLAGS["tls-cert-file"],
  };
  static override args = {
    workspace: word({ required: true, description: "workspace" }),
    app: word({ description: "app" }),
  };

  protected override async execute(): Promise<undefined> {
    expectTypeOf(this.flags.wait).toEqualTypeOf<"yes" | "no">();
    expectTypeOf(this.flags.mode).toEqualTypeOf<"fast" | "slow" | undefined>();
    expectTypeOf(this.flags.timeout).toEqualTypeOf<number>();
    expectTypeOf(this.flags.limit).toEqualTypeOf<number | undefined>();
    expectTypeOf(this.flags.name).toEqualTypeOf<string | undefined>();
    expectTypeOf(this.flags.tag).toEqualTypeOf<string[] | undefined>();
    expectTypeOf(this.flags["dry-run"]).toEqualTypeOf<boolean>();
    expectTypeOf(this.flags["http-address"]).toEqualTypeOf<string | undefined>();
    expectTypeOf(this.flags["tls-enable"]).toEqualTypeOf<boolean>();
    expectTypeOf(this.flags["tls-cert-file"]).toEqualTypeOf<string[] | undefined>();
    expectTypeOf(this.flags.verbose).toEqualTypeOf<boolean>(); // a flag of every command
    expectTypeOf(this.args.workspace).toEqualTypeOf<string>();
    expectTypeOf(this.args.app).toEqualTypeOf<string | undefined>();
    // @ts-expect-error a flag that is not defined
    void this.flags.wiat;
    // @ts-expect-error a word that is not defined
    void this.args.worksapce;
    // @ts-expect-error a flag that the server does not have
    void SERVER_FLAGS["http-adress"];
    // @ts-expect-error a value that is not one of the options
    void (this.flags.wait === "maybe");
  }
}

// @ts-expect-error a default that is not one of the options
choice({ options: ["yes", "no"], default: "maybe", summary: "" });
// @ts-expect-error a property that definitions do not have
text({ sumary: "" });
// @ts-expect-error a duration is in milliseconds
duration({ default: "5s", summary: "" });

it("names of flags and words are checked when a command is compiled", () => {
  expect(Object.keys(Sample.flags)).toContain("dry-run");
});
