import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  NameError,
  type NameOptions,
  parseWorkspaceName,
  validateAgentName,
  validateUserName,
  validateWorkspaceName,
} from "./names.ts";

/** Text of any UTF-16 code units. */
const anyText = (maxLength: number) => fc.uint16Array({ maxLength }).map((units) => String.fromCharCode(...units));

describe("spellings of a workspace", () => {
  const spellings: [
    input: string,
    owner: string | undefined,
    workspace: string,
    agent: string | undefined,
    options?: NameOptions,
  ][] = [
    ["dev", undefined, "dev", undefined],
    ["alice/dev", "alice", "dev", undefined],
    ["me/dev", "me", "dev", undefined],
    ["dev.main", undefined, "dev", "main"],
    ["alice/dev.main", "alice", "dev", "main"],
    ["alice/dev/main", "alice", "dev", "main"],
    ["alice--dev", "alice", "dev", undefined],
    ["alice--dev--main", "alice", "dev", "main"],
    ["alice--dev.main", "alice", "dev", "main"],
    ["alice.dev--main", "alice", "dev", "main"],
    ["main.dev.alice", "alice", "dev", "main"],
    ["my-dev", undefined, "my-dev", undefined],
    ["a-b--c-d", "a-b", "c-d", undefined],
    ["Dev", undefined, "Dev", undefined],
    ["coder.dev", undefined, "dev", undefined, { hostPrefix: "coder." }],
    ["CODER.dev", undefined, "dev", undefined, { hostPrefix: "coder." }],
    ["coder.alice--dev--main", "alice", "dev", "main", { hostPrefix: "coder." }],
    ["coder.main.dev.alice", "alice", "dev", "main", { hostPrefix: "coder." }],
    ["coder-vscode--alice--dev", "alice", "dev", undefined, { hostPrefix: "coder-vscode--" }],
    ["dev.coder", undefined, "dev", undefined, { hostnameSuffix: "coder" }],
    ["dev.Coder", undefined, "dev", undefined, { hostnameSuffix: ".coder" }],
    ["main.dev.alice.coder", "alice", "dev", "main", { hostnameSuffix: "coder" }],
    ["dev.main.coder", undefined, "dev", "main", { hostnameSuffix: "coder" }],
    ["alice--dev.internal.example", "alice", "dev", undefined, { hostnameSuffix: "internal.example" }],
    // A suffix is whole labels, and a prefix or suffix alone is a name.
    ["mycoder", undefined, "mycoder", undefined, { hostnameSuffix: "coder" }],
    ["coder", undefined, "coder", undefined, { hostnameSuffix: "coder" }],
    ["coder.dev", undefined, "dev", undefined, { hostPrefix: "coder.", hostnameSuffix: "dev" }],
    ["dev", undefined, "dev", undefined, { hostPrefix: "", hostnameSuffix: "" }],
  ];
  test.each(spellings)("%s", (input, owner, workspace, agent, options) => {
    const name = parseWorkspaceName(input, options);
    expect({ owner: undefined, agent: undefined, ...name }).toEqual({ owner, workspace, agent });
    if (owner === undefined) expect("owner" in name).toBe(false);
  });

  const refused: [input: string, message: RegExp][] = [
    ["", /^the workspace name is empty$/],
    ["alice/", /"alice\/": the workspace name is empty/],
    ["/dev", /the user name is empty/],
    ["dev.", /the agent name is empty/],
    ["a/b/c/d", /too many parts/],
    ["root@dev", /write dev, or root\/dev for a workspace of root/],
    ["my dev", /the workspace name "my dev" is not valid: use letters/],
    ["a---b", /the workspace name "-b" is not valid/],
    ["dev_1", /not valid/],
    ["-dev", /not valid/],
    ["dev-", /not valid/],
    ["x".repeat(33), /longer than 32 characters/],
    ["x".repeat(300), /at most 255 characters/],
    ["../../etc", /too many parts|empty/],
  ];
  test.each(refused)("%s is refused with one sentence", (input, message) => {
    expect(() => parseWorkspaceName(input)).toThrow(NameError);
    expect(() => parseWorkspaceName(input)).toThrow(message);
    expect(() => parseWorkspaceName(input)).not.toThrow(/\.$/);
  });

  const name = fc.stringMatching(/^[a-z0-9]{1,10}(-[a-z0-9]{1,10}){0,1}$/);
  test("every spelling of the same workspace reads the same", () => {
    fc.assert(
      fc.property(name, name, name, (owner, workspace, agent) => {
        for (const spelling of [
          `${owner}/${workspace}.${agent}`,
          `${owner}--${workspace}--${agent}`,
          `${agent}.${workspace}.${owner}`,
        ]) {
          expect(parseWorkspaceName(spelling)).toEqual({ owner, workspace, agent });
        }
        expect(parseWorkspaceName(`pre.${owner}--${workspace}`, { hostPrefix: "pre." })).toEqual({ owner, workspace });
      }),
    );
  });

  test("any text is a name or a NameError", () => {
    fc.assert(
      fc.property(fc.oneof(anyText(60), fc.string({ maxLength: 60 })), fc.string({ maxLength: 5 }), (input, affix) => {
        try {
          const parsed = parseWorkspaceName(input, { hostPrefix: affix, hostnameSuffix: affix });
          expect(validateWorkspaceName(parsed.workspace)).toBeUndefined();
        } catch (error) {
          if (!(error instanceof NameError)) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });
});

test("names of users, workspaces and agents follow one grammar and say whose name it is", () => {
  for (const good of ["a", "A1", "a-b-c", "x".repeat(32)]) {
    expect([validateUserName(good), validateWorkspaceName(good), validateAgentName(good)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  }
  for (const bad of ["", "-a", "a-", "a--b", "a.b", "a_b", "ä", "x".repeat(33), "a\n"]) {
    expect(validateUserName(bad)).toMatch(/^the user name/);
    expect(validateWorkspaceName(bad)).toMatch(/^the workspace name/);
    expect(validateAgentName(bad)).toMatch(/^the agent name/);
  }
});
