import { expect, test } from "vitest";
import { serverFlags } from "../../config/flags.ts";
import { optionList } from "./option-list.ts";

test("every setting is listed with its value and where it comes from", () => {
  const options = optionList(
    serverFlags,
    { "access-url": "https://coder.example.com", "allowed-hosts": ["a.example", "b.example"], verbose: false },
    { CODER_ACCESS_URL: "https://coder.example.com" },
  );
  expect(options).toHaveLength(serverFlags.length);
  const named = (name: string) => options.find((option) => option.name === name);
  expect(named("access-url")).toMatchObject({
    value: "https://coder.example.com",
    value_source: "env",
    env: "CODER_ACCESS_URL",
  });
  expect(named("allowed-hosts")).toMatchObject({ value: "a.example, b.example", value_source: "flag" });
  expect(named("verbose")).toMatchObject({ value: "false", value_source: "default" });
  expect(named("session-duration")).toMatchObject({ value_source: "default", group: { name: "Sessions" } });
});

test("the setting that holds a secret is masked, and no other", () => {
  const flag = { ...serverFlags[0]!, name: "postgres-url", env: "CODER_PG_CONNECTION_URL", default: "" };
  expect(optionList([flag], { "postgres-url": "postgres://u:p@h/d" }, {})[0]).toMatchObject({ value: "********" });
  expect(optionList([flag], {}, {})[0]).toMatchObject({ value: "" });
  const given = { "postgres-auth": "password", "postgres-conn-max-open": "20", "postgres-url-file": "/etc/coder/url" };
  const options = optionList(serverFlags, given, {});
  for (const [name, value] of Object.entries(given))
    expect(options.find((option) => option.name === name)).toMatchObject({ value });
});
