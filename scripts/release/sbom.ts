/** The bill of materials (CycloneDX): the components of every executable of a release. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Artefact } from "./artefacts.ts";
import { bundledPackage } from "./bundled-package.ts";
import type { Platform } from "./platforms.ts";

/** Installed only by the release command. */
const library = (packages: string): typeof import("@cyclonedx/cyclonedx-library") =>
  createRequire(join(packages, "..", "package.json"))("@cyclonedx/cyclonedx-library");

interface Release {
  readonly packages: string;
  readonly version: string;
  readonly bundled: readonly string[];
  readonly platforms: readonly Platform[];
  readonly artefacts: readonly Artefact[];
}

export function billOfMaterials({ packages, version, bundled, platforms, artefacts }: Release): string {
  const { Models, Enums, Serialize, Spec } = library(packages);
  const product = new Models.Component(Enums.ComponentType.Application, "coder", { version, bomRef: "coder" });
  const bom = new Models.Bom({ metadata: new Models.Metadata({ component: product }) });
  const licenses = (text: string | undefined): InstanceType<typeof Models.LicenseRepository> =>
    new Models.LicenseRepository(text === undefined ? [] : [new Models.LicenseExpression(text)]);
  const add = (name: string, version: string, license: string | undefined): void => {
    const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
    const component = new Models.Component(Enums.ComponentType.Library, name, {
      version,
      bomRef: purl,
      purl,
      licenses: licenses(license),
    });
    bom.components.add(component);
    product.dependencies.add(component.bomRef);
  };
  for (const name of bundled) {
    const found = installed(name);
    if (found !== undefined) add(name, found.version, found.license);
  }
  for (const { node, os, arch } of platforms)
    for (const name of [node[0], `@koromix/koffi-${os}-${arch}`]) {
      const found = manifest(join(packages, name));
      add(name, found.version, found.license);
    }
  for (const { file, sha256 } of artefacts)
    bom.components.add(
      new Models.Component(Enums.ComponentType.File, file, {
        bomRef: file,
        hashes: new Models.HashDictionary([[Enums.HashAlgorithm["SHA-256"], sha256]]),
      }),
    );
  const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
  return `${serializer.serialize(bom, { sortLists: true, space: 1 })}\n`;
}

interface Manifest {
  readonly version: string;
  readonly license?: string;
}

/** Undefined for an optional part of a package that is not installed. */
function installed(name: string): Manifest | undefined {
  const folder = bundledPackage(name);
  return folder === undefined ? undefined : manifest(folder);
}

function manifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}
