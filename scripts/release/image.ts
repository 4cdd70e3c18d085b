/** An image in the OCI's format (image-spec 1.1), written directly to disk: needs no engine and no registry. */
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzip, stage, tar } from "./archive.ts";
import type { Entry, Licences } from "./contents.ts";

export interface ImageOptions {
  readonly executable: string;
  readonly version: string;
  readonly date: number;
  readonly licences: Licences;
  readonly work: string;
  readonly output: string;
}

/** Ids of the user in the image, and of its group. */
const OWNER = 1000;
const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
/** The libraries that Node needs, and those that glibc resolves addresses with. */
const LIBRARIES = [
  "libc",
  "libm",
  "libdl",
  "libpthread",
  "librt",
  "libutil",
  "libresolv",
  "libnss_files",
  "libnss_dns",
];
const VERSIONS: Readonly<Record<string, number>> = { libc: 6, libm: 6, libutil: 1, libpthread: 0, librt: 1 };

/** Where this machine has the libraries of each architecture: its own, or Debian's packages for cross compilers. */
const PLACES = {
  amd64: {
    loader: "lib64/ld-linux-x86-64.so.2",
    into: "lib/x86_64-linux-gnu",
    folders: ["/lib/x86_64-linux-gnu", "/lib64"],
    packages: ["libc6", "libstdc++6", "libgcc-s1"],
  },
  arm64: {
    loader: "lib/ld-linux-aarch64.so.1",
    into: "lib/aarch64-linux-gnu",
    folders: ["/usr/aarch64-linux-gnu/lib"],
    packages: ["libc6-arm64-cross", "libstdc++6-arm64-cross", "libgcc-s1-arm64-cross"],
  },
} as const;

type Architecture = keyof typeof PLACES;

/** @returns why it could not be built. */
export async function buildImage(architecture: Architecture, options: ImageOptions): Promise<string | undefined> {
  const base = baseEntries(architecture);
  if (typeof base === "string") return base;
  const work = join(options.work, "image");
  rmSync(work, { recursive: true, force: true });
  const blobs = join(work, "layout/blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const layers = [
    await layer("base", base, ["tmp"], 0o1777, 0),
    await layer("program", programEntries(options), [], 0o755, 0),
    // A layer of its own, as everything in it belongs to the user.
    await layer("state", [], ["home/coder", "var/lib/coder"], 0o700, OWNER),
  ];
  const config = blob("application/vnd.oci.image.config.v1+json", imageConfig(architecture, options, layers));
  const manifest = blob("application/vnd.oci.image.manifest.v1+json", {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config,
    layers: layers.map(({ descriptor }) => descriptor),
  });
  const layout = join(work, "layout");
  writeIndex(layout, { ...manifest, platform: { architecture, os: "linux" } }, options.version);
  await tar(layout, ["oci-layout", "index.json", "blobs"], options.output, options.date);
  rmSync(work, { recursive: true });
  return undefined;

  /** Folders get this mode and owner; files and the folders above them belong to root. */
  async function layer(
    name: string,
    entries: readonly Entry[],
    folders: readonly string[],
    mode: number,
    owner: number,
  ) {
    const tree = join(work, name);
    stage(tree, entries);
    for (const folder of folders) {
      mkdirSync(join(tree, folder), { recursive: true, mode: 0o755 });
      chmodSync(join(tree, folder), mode);
    }
    const plain = join(work, `${name}.tar`);
    // A parent folder with another owner is in an earlier layer, and so left out here.
    const names = owner === 0 ? topNames(entries, folders) : folders;
    await tar(tree, names, plain, options.date, owner);
    const compressed = `${plain}.gz`;
    await gzip(plain, compressed);
    const diffId = `sha256:${hashOf(readFileSync(plain))}`;
    rmSync(plain);
    const hash = hashOf(readFileSync(compressed));
    const { size } = statSync(compressed);
    renameSync(compressed, join(blobs, hash));
    const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: `sha256:${hash}`, size };
    return { name, diffId, descriptor };
  }

  function blob(mediaType: string, value: unknown): { mediaType: string; digest: string; size: number } {
    const text = JSON.stringify(value);
    const hash = hashOf(text);
    writeFileSync(join(blobs, hash), text, { mode: 0o644 });
    return { mediaType, digest: `sha256:${hash}`, size: Buffer.byteLength(text) };
  }
}

function programEntries(options: ImageOptions): Entry[] {
  return [
    { path: "usr/bin/coder", mode: 0o755, content: { file: options.executable } },
    ...Object.entries(options.licences).map(([name, content]) => ({
      path: `usr/share/doc/coder/${name}`,
      mode: 0o644,
      content: Buffer.from(content),
    })),
  ];
}

interface Layer {
  readonly name: string;
  readonly diffId: string;
}

/** What a container of the image runs, as which user and with which defaults. */
function imageConfig(architecture: Architecture, { date, version }: ImageOptions, layers: readonly Layer[]): object {
  const created = new Date(date * 1000).toISOString();
  const labels = {
    "org.opencontainers.image.title": "coder",
    "org.opencontainers.image.version": version,
    "org.opencontainers.image.licenses": "Apache-2.0",
  };
  return {
    created,
    architecture,
    os: "linux",
    config: {
      User: `${OWNER}:${OWNER}`,
      ExposedPorts: { "3000/tcp": {}, "3478/udp": {} },
      Env: [
        "PATH=/usr/bin",
        "HOME=/home/coder",
        // A folder of its own: others may write to /tmp, and the home may be read-only.
        "XDG_CACHE_HOME=/tmp/cache",
        `SSL_CERT_FILE=${CERTIFICATES}`,
        "CODER_HTTP_ADDRESS=0.0.0.0:3000",
        "CODER_STATE_DIRECTORY=/var/lib/coder",
      ],
      Entrypoint: ["/usr/bin/coder"],
      Cmd: ["server"],
      Volumes: { "/var/lib/coder": {} },
      WorkingDir: "/home/coder",
      Labels: labels,
    },
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(({ name }) => ({ created, created_by: name })),
  };
}

function writeIndex(layout: string, manifest: object, version: string): void {
  writeFileSync(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  // A tag cannot contain a plus. Podman uses one name, Docker the other.
  const name = `coder:${version.replaceAll("+", "-")}`;
  const annotations = {
    "io.containerd.image.name": `docker.io/library/${name}`,
    "org.opencontainers.image.ref.name": name,
  };
  const index = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [{ ...manifest, annotations }],
  };
  writeFileSync(join(layout, "index.json"), JSON.stringify(index));
  for (const file of ["oci-layout", "index.json"]) chmodSync(join(layout, file), 0o644);
}

/** Libraries, authorities, accounts; or what is missing on this machine. */
function baseEntries(architecture: Architecture): Entry[] | string {
  const { loader, into, folders, packages } = PLACES[architecture];
  const find = (name: string): string | undefined =>
    folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
  const needed = [
    [loader, loader.split("/").at(-1)!],
    ...[...LIBRARIES.map((name) => `${name}.so.${VERSIONS[name] ?? 2}`), "libstdc++.so.6", "libgcc_s.so.1"].map(
      (name) => [`${into}/${name}`, name],
    ),
  ] as const;
  const entries: Entry[] = [];
  for (const [path = "", name = ""] of needed) {
    const file = find(name);
    if (file === undefined) return `${name} is missing: install ${packages.join(", ")}`;
    entries.push({ path, mode: 0o755, content: { file } });
  }
  if (!existsSync(CERTIFICATES)) return `${CERTIFICATES} is missing: install ca-certificates`;
  for (const name of [...packages, "ca-certificates"]) {
    const file = `/usr/share/doc/${name}/copyright`;
    if (existsSync(file)) entries.push({ path: file.slice(1), mode: 0o644, content: { file } });
  }
  const text = (path: string, content: string): Entry => ({ path, mode: 0o644, content: Buffer.from(content) });
  return [
    ...entries,
    { path: CERTIFICATES.slice(1), mode: 0o644, content: { file: CERTIFICATES } },
    text("etc/passwd", `root:x:0:0:root:/:/sbin/nologin\ncoder:x:${OWNER}:${OWNER}:coder:/home/coder:/sbin/nologin\n`),
    text("etc/group", `root:x:0:\ncoder:x:${OWNER}:\n`),
    text("etc/nsswitch.conf", "hosts: files dns\n"),
    // Root's folders above those of the user.
    text("home/.keep", ""),
    text("var/lib/.keep", ""),
  ];
}

function topNames(entries: readonly Entry[], folders: readonly string[]): string[] {
  return [...new Set([...entries.map(({ path }) => path), ...folders].map((path) => path.split("/")[0]!))].sort();
}

function hashOf(content: Buffer | string): string {
  return createHash("sha256").update(content).digest("hex");
}
