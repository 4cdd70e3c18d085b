import { expect, it } from "vitest";
import { placesOfVersion, versionAt } from "./version.ts";

it("is the same everywhere (npm run set-version -- X.Y.Z)", () => {
  const places = placesOfVersion();
  expect(places.map(({ file }) => file)).toContain("packages/udp-batch/package.json");
  const versions = places.map((place) => [place.file, versionAt(place)]);
  const version = versionAt(places.find(({ file }) => file === "package.json")!);
  expect(version).toMatch(/^\d+\.\d+\.\d+/);
  expect(versions).toEqual(places.map(({ file }) => [file, version]));
});
