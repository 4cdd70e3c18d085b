import { expect, it } from "vitest";
import { repositoryUrl } from "./manifest.ts";

const ADDRESS = "git+https://github.com/ada/network.git";

it.each([ADDRESS, { type: "git", url: ADDRESS }])("accepts %j as the repository's address", (repository) => {
  expect(repositoryUrl(repository)).toBe(ADDRESS);
});

it.each(["github:ada/network", "https://github.com/ada/network", "ada/network", {}, null])(
  "refuses %j, and names a form that npm accepts",
  (repository) => {
    expect(() => repositoryUrl(repository)).toThrow("git+https://github.com/OWNER/NAME.git");
  },
);
